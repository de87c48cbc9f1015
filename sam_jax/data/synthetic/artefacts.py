"""Things that people make: vehicles, buildings, vessels, furniture, fences, rings."""

from itertools import pairwise

import numpy as np

from sam_jax.data.synthetic.outlines import (
    at,
    blob,
    ellipse,
    lathe,
    polygon,
    rectangle,
    ribbon,
    rotate,
    superellipse,
)
from sam_jax.data.synthetic.things import Piece, Thing


def make_vehicle(rng: np.random.Generator) -> Thing:
    """A car, van or lorry from the side: body, cabin with windows, wheels with hubs."""
    low = rng.uniform(0.18, 0.35)
    front, back = rng.uniform(0.3, 0.8), rng.uniform(0.4, 0.9)
    roof = -rng.uniform(0.2, 0.6)
    slant = rng.uniform(0.05, 0.3)
    cabin = np.array([[-back, 0.1], [-back + slant, roof], [front - slant, roof], [front, 0.1]])
    pieces = [Piece((cabin,), (), 0), Piece((superellipse(0, low, 1, 0.22, 6),), (), 0)]
    panes = np.linspace(-back + slant + 0.03, front - slant - 0.03, int(rng.integers(2, 5)))
    for left, right in pairwise(panes):
        pane = rectangle(left, roof + 0.06, right - 0.04, 0.02)
        pieces.append(Piece((pane,), (0,), 1, inside=True))
    if rng.random() < 0.4:
        band = rectangle(-2, low - 0.02, 2, low + rng.uniform(0.03, 0.12))
        pieces.append(Piece((band,), (2,), 4, inside=True))
    for side in (-1, 1):
        lamp = ellipse(0.95 * side, low - 0.05, 0.05)
        pieces.append(Piece((lamp,), (3,), 5, inside=True))
    radius = rng.uniform(0.15, 0.24)
    for x in (-rng.uniform(0.5, 0.7), rng.uniform(0.5, 0.7)):
        pieces.append(Piece((ellipse(x, low + 0.2, radius),), (1,), 2))
        pieces.append(Piece((ellipse(x, low + 0.2, radius * rng.uniform(0.4, 0.7)),), (1, 0), 3))
    return pieces


def make_cycle(rng: np.random.Generator) -> Thing:
    """A bicycle or motorcycle: two wheels with holes and a thin frame."""
    radius, tyre = rng.uniform(0.32, 0.42), rng.uniform(0.03, 0.07)
    hubs = ((-0.55, 0.5), (0.55, 0.5))
    pieces = []
    for hub in hubs:
        wheel = (ellipse(0, 0, radius) + hub, ellipse(0, 0, radius - tyre) + hub)
        pieces.append(Piece(wheel, (0,), 0))
        for turn in rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3:
            reach = radius * np.array([np.cos(turn), np.sin(turn)])
            pieces.append(
                Piece((ribbon([np.subtract(hub, reach), np.add(hub, reach)], 0.008),), (0,), 0)
            )
    saddle, bars, pedal = (-0.25, -0.15), (0.4, -0.25), (-0.05, 0.5)
    for start, end in (
        (hubs[0], saddle),
        (saddle, pedal),
        (pedal, bars),
        (saddle, bars),
        (bars, hubs[1]),
        (hubs[0], pedal),
    ):
        pieces.append(Piece((ribbon([start, end], rng.uniform(0.02, 0.05)),), (1,), 1))
    pieces.append(Piece((superellipse(saddle[0], saddle[1] - 0.05, 0.16, 0.05, 3),), (2,), 2))
    return pieces


def make_building(rng: np.random.Generator) -> Thing:
    """A house or tower: walls (one or two seen), roof, windows in rows, a door."""
    half, top = rng.uniform(0.35, 0.9), -rng.uniform(0.2, 0.9)
    depth = rng.uniform(0.1, 0.5) if rng.random() < 0.5 else 0.0
    pieces = [Piece((rectangle(-half, top, half - depth, 1),), (0,), 0)]
    if depth:
        slope = rng.uniform(0, 0.2)
        wall = [
            [half - depth, top],
            [half, top + slope],
            [half, 1 - slope * 0.5],
            [half - depth, 1],
        ]
        pieces.append(Piece((np.array(wall),), (1,), 3))
    if rng.random() < 0.6:
        peak = rng.uniform(-0.3, 0.3) if rng.random() < 0.7 else -half * 0.8
        eaves = half + rng.uniform(0.02, 0.15)
        ridge = top - rng.uniform(0.15, 0.5)
        flat = rng.uniform(0, 0.4)
        roof = [[-eaves, top], [peak - flat, ridge], [peak + flat, ridge], [eaves, top]]
        pieces.append(Piece((np.array(roof),), (2,), 1))
    columns, rows = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    right = half - depth
    wide, high = (right + half) / columns, (0.85 - top) / rows
    for x in -half + wide * (np.arange(columns) + 0.5):
        for y in top + high * (np.arange(rows) + 0.5):
            pane = rectangle(x - 0.28 * wide, y - 0.3 * high, x + 0.28 * wide, y + 0.3 * high)
            pieces.append(Piece((pane,), (0, 0), 2, inside=True))
    x = rng.uniform(-half * 0.6, right * 0.6)
    pieces.append(Piece((rectangle(x - 0.1, 0.6, x + 0.1, 1),), (0, 1), 4, inside=True))
    return pieces


def make_vessel(rng: np.random.Generator) -> Thing:
    """A bottle, vase, cup or lamp with bands, a label, a lid, perhaps a handle."""
    body = lathe(rng)
    width = float(np.abs(body[:, 0]).max())
    pieces = []
    if rng.random() < 0.3:
        ring = (ellipse(width, 0, 0.35, 0.45), ellipse(width, 0, 0.22, 0.32))
        pieces.append(Piece(ring, (2,), 0))
    pieces.append(Piece((body,), (), 0))
    for band in range(int(rng.integers(0, 4))):
        start = rng.uniform(-0.9, 0.8)
        area = rectangle(-2, start, 2, start + rng.uniform(0.08, 0.5))
        pieces.append(Piece((area,), (3 + band,), 1 + band % 3, inside=True))
    if rng.random() < 0.4:
        sign = superellipse(0, rng.uniform(-0.3, 0.5), width * 0.6, rng.uniform(0.1, 0.3), 5)
        pieces.append(Piece((sign,), (1,), 4, inside=True))
    if rng.random() < 0.4:
        pieces.append(Piece((rectangle(-0.2, -1.12, 0.2, -0.85),), (0,), 5))
    return pieces


def make_furniture(rng: np.random.Generator) -> Thing:
    """A table, chair, stool or shelf: slabs on thin legs."""
    seat, thick = rng.uniform(-0.3, 0.3), rng.uniform(0.04, 0.16)
    half = rng.uniform(0.5, 1)
    depth = rng.uniform(0, 0.35)
    leg = rng.uniform(0.025, 0.08)
    pieces = []
    for x, bottom in ((-half + depth, 0.8), (half, 0.8), (-half, 1), (half - depth, 1)):
        splay = rng.normal(0, 0.04)
        limb = ribbon([(x * 0.92, seat), (x * 0.92 + splay, bottom)], leg)
        pieces.append(Piece((limb,), (0,), 0))
    if rng.random() < 0.5:
        back = superellipse(0, seat - 0.5, half * 0.95, 0.48, 8)
        hole = superellipse(0, seat - 0.5, half * 0.75, 0.3, 8)
        pieces.append(Piece((back, hole) if rng.random() < 0.4 else (back,), (1,), 2))
    slab = [
        [-half + depth, seat - depth],
        [half + depth * 0.2, seat - depth],
        [half, seat],
        [-half, seat],
    ]
    pieces.append(Piece((np.array(slab),), (2,), 1))
    pieces.append(Piece((rectangle(-half, seat, half, seat + thick),), (2,), 0))
    return pieces


def make_box(rng: np.random.Generator) -> Thing:
    """A crate, book or appliance: three faces, a label, a lid."""
    x, y = rng.uniform(-0.6, 0.6), -rng.uniform(0.2, 0.7)
    left, right, top, bottom = -0.7, 0.7, y + 0.3, rng.uniform(0.4, 1)
    shift = np.array([x * 0.6, y * 0.5])
    front = rectangle(left, top, right, bottom)
    lid = np.array([front[0], front[1], front[1] + shift, front[0] + shift])
    side = 1 if x > 0 else 0
    face = np.array([front[side], front[side] + shift, front[3 - side] + shift, front[3 - side]])
    pieces = [Piece((face,), (1,), 2), Piece((lid,), (2,), 1), Piece((front,), (0,), 0)]
    for mark in range(int(rng.integers(0, 3))):
        centre = rng.uniform(-0.4, 0.4, 2) * (1, 0.5) + at(0, (top + bottom) / 2)
        area = superellipse(0, 0, rng.uniform(0.1, 0.4), rng.uniform(0.05, 0.3), 8) + centre
        pieces.append(Piece((area,), (0, mark), 3 + mark, inside=True))
    return pieces


def make_disc(rng: np.random.Generator) -> Thing:
    """A plate, clock, wheel, target, ball or ring: nested rounds, perhaps with a hole."""
    squash = rng.uniform(0.35, 1) if rng.random() < 0.5 else 1.0
    radii = np.sort(rng.uniform(0.2, 0.9, int(rng.integers(0, 4))))[::-1]
    if rng.random() < 0.3:
        hole = rng.uniform(0.4, 0.85)
        return [Piece((ellipse(0, 0, 1, squash), ellipse(0, 0, hole, hole * squash)), (), 0)]
    pieces = [Piece((ellipse(0, 0, 1, squash),), (), 0)]
    part: tuple[int, ...] = ()
    for surface, radius in enumerate(radii, start=1):
        part = (*part, 0)
        pieces.append(Piece((ellipse(0, 0, radius, radius * squash),), part, surface))
    if rng.random() < 0.3:
        for turn in rng.uniform(0, 6, 2):
            tip = 0.7 * np.array([np.cos(turn), squash * np.sin(turn)])
            pieces.append(Piece((ribbon([(0, 0), tip], 0.03),), (1,), 5))
    return pieces


def make_grid(rng: np.random.Generator) -> Thing:
    """A fence, gate, rack or net: thin bars with holes between."""
    thick = rng.uniform(0.02, 0.07)
    pieces = []
    height = rng.uniform(0.3, 1)
    for x in np.linspace(-1, 1, int(rng.integers(3, 12))):
        pieces.append(Piece((rectangle(x - thick, -height, x + thick, height),), (), 0))
    for y in np.linspace(-0.8, 0.8, int(rng.integers(1, 5))) * height:
        pieces.append(Piece((rectangle(-1, y - thick, 1, y + thick),), (), 0))
    return pieces


def make_line(rng: np.random.Generator) -> Thing:
    """A pole, rope, branch or wire; poles may carry a sign or a lamp."""
    if rng.random() < 0.5:
        lean, thick = rng.normal(0, 0.06), rng.uniform(0.02, 0.06)
        pieces = [Piece((ribbon([(-lean, 1.5), (lean, -1)], thick),), (0,), 0)]
        if rng.random() < 0.6:
            corners = int(rng.choice([3, 4, 8, 24]))
            plate = polygon(rng, corners, 0.0) * rng.uniform(0.15, 0.4) + at(lean, -0.8)
            pieces.append(Piece((plate,), (1,), 1))
            inner = (plate - at(lean, -0.8)) * rng.uniform(0.5, 0.85) + at(lean, -0.8)
            pieces.append(Piece((inner,), (1, 0), 2))
        return pieces
    knots = int(rng.integers(2, 6))
    line = np.column_stack([np.linspace(-1, 1, knots), rng.normal(0, 0.3, knots)])
    line = rotate(line, rng.uniform(0, np.pi))
    thick = rng.uniform(0.015, 0.08)
    pieces = [Piece((ribbon(line, np.linspace(thick, thick * rng.uniform(0.3, 1), knots)),), (), 0)]
    if rng.random() < 0.3:
        for place in line[1:-1]:
            twig = ribbon([place, place + rng.normal(0, 0.4, 2)], [thick * 0.7, thick * 0.3])
            pieces.append(Piece((twig,), (), 0))
    return pieces


def make_rock(rng: np.random.Generator) -> Thing:
    """A stone, loaf or cushion: one piece without parts."""
    kind = rng.random()
    body = (
        blob(rng, rng.uniform(0.1, 0.4)) if kind < 0.7 else polygon(rng, int(rng.integers(5, 12)))
    )
    pieces = [Piece((body * (1, rng.uniform(0.5, 1)),), (), 0)]
    if rng.random() < 0.3:
        pieces.append(Piece((blob(rng, 0.4) * 0.5 + rng.normal(0, 0.4, 2),), (0,), 1, inside=True))
    return pieces
