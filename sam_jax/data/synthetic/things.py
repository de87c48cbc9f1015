"""Things made of parts and subparts: animals, people, plants, and abstract shapes."""

from typing import NamedTuple

import numpy as np

from sam_jax.data.synthetic.outlines import (
    Outline,
    at,
    blob,
    ellipse,
    lathe,
    leaf,
    polygon,
    rectangle,
    ribbon,
    rotate,
    superellipse,
)


class Piece(NamedTuple):
    """A piece of a thing, painted over the pieces before it.

    Attributes:
        outlines: Contours that are filled by the even-odd rule, so that a contour inside another is a hole.
        part: Part that the piece belongs to, from the whole down: () is the whole itself, (2,) its third part,
            (2, 0) a subpart of that. Pieces of one part may lie apart (two shoes).
        surface: Number of the surface that the piece has.
        inside: Whether the piece is visible only on its part, like a marking, a window or an eye.
    """

    outlines: tuple[Outline, ...]
    part: tuple[int, ...]
    surface: int
    inside: bool = False


Thing = list[Piece]
"""Pieces in the unit of the thing: from about (-1, -1) to (1, 1), upright, with y pointing down."""


def make_shape(rng: np.random.Generator) -> Thing:
    """A blob, polygon or turned thing with random markings, parts and parts of those."""
    kind = rng.random()
    if kind < 0.45:
        body = blob(rng, rng.uniform(0.05, 0.5))
    elif kind < 0.65:
        body = polygon(rng, int(rng.integers(3, 9)), rng.uniform(0, 0.5))
    elif kind < 0.8:
        body = superellipse(0, 0, rng.uniform(0.4, 1), rng.uniform(0.4, 1), rng.uniform(2, 9))
    else:
        body = lathe(rng)
    pieces = [Piece((body,), (), 0)]
    parts = int(rng.integers(0, 4))
    for part in range(parts):
        if rng.random() < 0.4:
            pieces += _attach(rng, body, part)
        else:
            pieces += _mark(rng, (part,), 1 + part)
    return pieces


def _attach(rng: np.random.Generator, body: Outline, part: int) -> Thing:
    """A part that grows out of the outline, or two that mirror each other."""
    anchor = body[rng.integers(len(body))]
    size = rng.uniform(0.15, 0.5)
    child = rotate(blob(rng, 0.3) * (size, size * rng.uniform(0.3, 1)), rng.uniform(0, np.pi))
    pieces = [Piece((child + anchor,), (part,), 1 + part)]
    if rng.random() < 0.4:
        pieces.append(Piece(((child + anchor) * (-1, 1),), (part,), 1 + part))
    if rng.random() < 0.4:
        spot = ellipse(0, 0, size * rng.uniform(0.2, 0.5)) + anchor
        pieces.append(Piece((spot,), (part, 0), 4, inside=True))
    return pieces


def _mark(rng: np.random.Generator, part: tuple[int, ...], surface: int) -> Thing:
    """A marking: a band, a patch, or a row of windows."""
    x, y = rng.uniform(-0.5, 0.5, 2)
    kind = rng.random()
    if kind < 0.35:
        band = rectangle(-2, y, 2, y + rng.uniform(0.08, 0.5))
        return [Piece((rotate(band, rng.normal(0, 0.4)),), part, surface, inside=True)]
    if kind < 0.75:
        patch = blob(rng, 0.3) * rng.uniform(0.15, 0.5) + at(x, y)
        pieces = [Piece((patch,), part, surface, inside=True)]
        if rng.random() < 0.5:
            core = ellipse(x, y, rng.uniform(0.06, 0.15))
            pieces.append(Piece((core,), (*part, 0), 4, inside=True))
        return pieces
    count, size = int(rng.integers(2, 6)), rng.uniform(0.04, 0.12)
    return [
        Piece((superellipse(spot, y, size, size, 5),), part, surface, inside=True)
        for spot in np.linspace(-0.7, 0.7, count)
    ]


def make_person(rng: np.random.Generator) -> Thing:
    """A person: clothes, head with hair and face, arms, legs and shoes, in a random pose."""
    slim = rng.uniform(0.8, 1.25)
    lean = rng.normal(0, 0.12)
    hip, neck = np.array([0.0, 0.08]), np.array([lean, -0.5])
    crouch = rng.uniform(0.55, 1) if rng.random() < 0.3 else 1.0
    skirt = rng.random() < 0.2
    legs, arms = [], []
    for side in (-1, 1):
        spread = rng.normal(0.13, 0.14) * side
        knee = hip + at(0.07 * side + spread, 0.42 * crouch)
        foot = knee + at(rng.normal(0, 0.14) + 0.3 * (1 - crouch) * side, 0.45 * crouch)
        root = hip + at(0.07 * side, 0)
        toe = foot + at(rng.choice([-0.12, 0.12]), 0.03)
        legs.append((root, knee, foot, toe))
        shoulder = neck + at(0.17 * side * slim, 0.08)
        raise_ = rng.normal(1.2, 0.7)
        elbow = shoulder + 0.3 * np.array([side * np.cos(raise_), np.sin(raise_)])
        bend = raise_ + rng.normal(-0.5, 0.8)
        hand = elbow + 0.3 * np.array([side * np.cos(bend), np.sin(bend)])
        arms.append((shoulder, elbow, hand))
    pieces = []
    bare = 0 if rng.random() < 0.25 else 2  # bare legs have the skin's surface
    for root, knee, foot, toe in legs:
        pieces.append(
            Piece((ribbon([root, knee, foot], np.array([0.11, 0.08, 0.055]) * slim),), (1, 0), bare)
        )
        pieces.append(Piece((ribbon([foot, toe], [0.06, 0.045]),), (1, 1), 4))
    sleeves = 1 if rng.random() < 0.7 else 0

    def arm(joints: tuple[np.ndarray, ...]) -> Thing:
        shoulder, elbow, hand = joints
        limb = ribbon([shoulder, elbow, hand], np.array([0.075, 0.058, 0.045]) * slim)
        upper = ribbon([shoulder, elbow], np.array([0.08, 0.068]) * slim)
        return [
            Piece((limb,), (0, 1), sleeves),
            Piece((upper,), (0, 1), 1),
            Piece((ellipse(0, 0, 0.055, 0.045) + hand,), (0, 1, 0), 0),
        ]

    pieces += arm(arms[0])
    torso = ribbon([neck + at(0, 0.05), (neck + hip) / 2, hip], np.array([0.17, 0.16, 0.15]) * slim)
    pieces.append(Piece((torso,), (0, 0), 1))
    if skirt:
        hem = rng.uniform(0.2, 0.4)
        cloth = [
            hip + at(-0.15, -0.08),
            hip + at(0.15, -0.08),
            hip + at(hem, 0.45),
            hip + at(-hem, 0.45),
        ]
        pieces.append(Piece((np.array(cloth),), (1, 2), 2))
    if rng.random() < 0.4:
        pieces.append(Piece((blob(rng, 0.2) * 0.09 + (neck + hip) / 2,), (0, 0, 0), 5, inside=True))
    pieces += arm(arms[1])
    pieces.append(Piece((ribbon([neck + at(0, 0.06), neck - at(0, 0.1)], 0.06),), (2,), 0))
    head = neck + at(rng.normal(0, 0.04), -0.22)
    pieces.append(Piece((ellipse(0, 0, 0.115, 0.15) + head,), (2,), 0))
    tilt = rng.normal(0, 0.3)
    hair = ellipse(0, 0, 0.135, 0.15)
    hair = rotate(np.where(hair[:, 1:] > 0, hair * (1, rng.uniform(-0.1, 0.9)), hair), tilt)
    pieces.append(Piece((hair + head - at(0, 0.04),), (2, 0), 3))
    face = ellipse(0, 0, 0.09, 0.1) + (head + at(0.02, 0.045))
    if rng.random() < 0.7:
        pieces.append(Piece((face,), (2, 1), 0))
        for side in (-1, 1):
            pieces.append(
                Piece((ellipse(0, 0, 0.014) + (head + at(0.02 + 0.04 * side, 0.02)),), (2, 1, 0), 3)
            )
    return pieces


def make_animal(rng: np.random.Generator) -> Thing:
    """A four-legged animal from the side, from mouse to giraffe in its proportions."""
    length, belly = rng.uniform(0.4, 0.65), rng.uniform(0.16, 0.34)
    height = rng.uniform(0.25, 0.75)
    thick = rng.uniform(0.05, 0.11)
    neck_length, head_size = rng.uniform(0.1, 0.5), rng.uniform(0.12, 0.22)
    pieces: Thing = []

    def leg(x: float, surface: int) -> Thing:
        step = rng.normal(0, 0.12)
        knee = (x + step * 0.4 + rng.normal(0, 0.05), height * 0.5)
        foot = (x + step, height)
        toe = (x + step + 0.05, height)
        limb = ribbon([(x, 0), knee, foot, toe], np.array([1.5, 1, 0.75, 0.75]) * thick)
        return [Piece((limb,), (1,), surface)]

    tail_tip = (-length - rng.uniform(0.05, 0.5), rng.uniform(-0.3, 0.4))
    tail_bend = (-length - 0.15, rng.normal(-0.05, 0.15))
    tail = ribbon(
        [(-length + 0.1, -0.1), tail_bend, tail_tip], [thick * 0.8, thick * 0.5, thick * 0.3]
    )
    pieces.append(Piece((tail,), (2,), 0))
    far = 3 if rng.random() < 0.6 else 0
    pieces += leg(-length + 0.22, far) + leg(length - 0.08, far)
    spine = [
        (-length, 0),
        (-length * 0.3, rng.normal(0, 0.06)),
        (length * 0.4, 0.02),
        (length, -0.05),
    ]
    pieces.append(Piece((ribbon(spine, np.array([0.8, 1, 1, 0.8]) * belly),), (), 0))
    if rng.random() < 0.4:
        for _ in range(rng.integers(1, 4)):
            place = (rng.uniform(-length, length), rng.uniform(-belly, belly))
            pieces.append(
                Piece((blob(rng, 0.5) * rng.uniform(0.1, 0.3) + place,), (3,), 1, inside=True)
            )
    rise = rng.uniform(-0.5, 1.2)
    skull = np.array([length + neck_length * np.cos(rise) + 0.1, -0.1 - neck_length * np.sin(rise)])
    neck = ribbon(
        [(length * 0.8, -0.05), (skull + at(length, -0.1)) / 2, skull],
        [belly * 0.8, head_size * 0.8, head_size * 0.7],
    )
    pieces.append(Piece((neck,), (), 0))
    pieces += leg(-length + 0.08, 0) + leg(length - 0.2, 0)
    droop = rng.uniform(-0.1, 0.8)
    nose = skull + head_size * rng.uniform(1.0, 2.2) * np.array([np.cos(droop), np.sin(droop)])
    head_surface = 0 if rng.random() < 0.7 else 1
    pieces.append(
        Piece((ribbon([skull, nose], [head_size * 0.75, head_size * 0.4]),), (0,), head_surface)
    )
    ear = leaf(head_size * rng.uniform(0.7, 1.8), head_size * rng.uniform(0.2, 0.4))
    pieces.append(
        Piece((rotate(ear, rng.uniform(-2.6, -1.2)) + skull - at(0, head_size * 0.4),), (0, 0), 0)
    )
    if rng.random() < 0.6:
        pieces.append(Piece((ellipse(0, 0, head_size * 0.3) + nose,), (0, 1), 4, inside=True))
    pieces.append(
        Piece(
            (ellipse(0, 0, head_size * 0.12) + (skull + at(head_size * 0.35, -head_size * 0.2)),),
            (0, 2),
            5,
        )
    )
    if rng.random() < 0.2:
        collar = ribbon([skull + at(-0.25, -0.05), skull + at(0.0, 0.35)], 0.04)
        pieces.append(Piece((collar,), (4,), 2, inside=True))
    return pieces


def make_bird(rng: np.random.Generator) -> Thing:
    """A bird, standing or flying."""
    plump = rng.uniform(0.2, 0.38)
    head = np.array([0.5, -0.35 + rng.normal(0, 0.12)])
    pieces: Thing = []
    if rng.random() < 0.6:
        for x in (-0.05, 0.12):
            foot = (x + rng.normal(0, 0.08), 0.85)
            pieces.append(Piece((ribbon([(x, 0.1), (x, 0.5), foot], 0.028),), (2,), 2))
    else:
        wing = leaf(rng.uniform(0.8, 1.2), rng.uniform(0.15, 0.3))
        pieces.append(Piece((rotate(wing, rng.uniform(-2.4, -0.9)) + at(0, 0),), (1,), 1))
    tail = leaf(rng.uniform(0.4, 0.9), 0.1)
    pieces.append(Piece((rotate(tail, np.pi + rng.normal(-0.1, 0.25)) + at(-0.3, 0.05),), (3,), 1))
    body = ribbon([(-0.45, 0.12), (0, 0.05), head], np.array([0.3, 1, 0.5]) * plump)
    pieces.append(Piece((body,), (), 0))
    if rng.random() < 0.5:
        breast = blob(rng, 0.2) * (0.3, 0.2) + at(0.15, 0.2)
        pieces.append(Piece((breast,), (4,), 3, inside=True))
    fold = rotate(leaf(rng.uniform(0.6, 0.9), rng.uniform(0.1, 0.2)), np.pi - 0.2)
    pieces.append(Piece((fold + at(0.3, -0.02),), (1,), 1))
    pieces.append(
        Piece((ellipse(0, 0, 0.17 * rng.uniform(0.8, 1.2)) + head,), (0,), int(rng.choice([0, 3])))
    )
    beak = rotate(leaf(rng.uniform(0.2, 0.55), 0.05), rng.normal(0.1, 0.2))
    pieces.append(Piece((beak + head + at(0.1, 0.02),), (0, 0), 2))
    pieces.append(Piece((ellipse(0, 0, 0.025) + (head + at(0.05, -0.04)),), (0, 1), 4))
    return pieces


def make_fish(rng: np.random.Generator) -> Thing:
    """A fish with fins and bands."""
    depth = rng.uniform(0.2, 0.6)
    body = leaf(1.6, depth) - at(0.8, 0)
    tail = np.array([[0.6, 0], [1.05, -0.4], [0.92, 0], [1.05, 0.4]]) * (1, rng.uniform(0.6, 1.3))
    fin = leaf(0.6, 0.15)
    pieces = [
        Piece((tail,), (0,), 1),
        Piece((rotate(fin, rng.uniform(-0.9, -0.3)) + at(-0.2, -depth * 0.8),), (1,), 1),
        Piece((rotate(fin, rng.uniform(0.4, 1.0)) + at(-0.1, depth * 0.7),), (1,), 1),
        Piece((body,), (), 0),
    ]
    for x in np.linspace(-0.4, 0.5, int(rng.integers(0, 6))):
        pieces.append(Piece((rectangle(x, -1, x + 0.07, 1),), (2,), 2, inside=True))
    pieces.append(Piece((ellipse(-0.55, -depth * 0.2, 0.07),), (3,), 4, inside=True))
    return pieces


def make_plant(rng: np.random.Generator) -> Thing:
    """A tree, a flower or a tuft."""
    kind = rng.random()
    pieces: Thing = []
    if kind < 0.5:
        crown = rng.uniform(-0.6, -0.2)
        trunk = [(rng.normal(0, 0.05), 1), (rng.normal(0, 0.06), 0.3), (0, crown)]
        pieces.append(Piece((ribbon(trunk, [rng.uniform(0.05, 0.14), 0.07, 0.04]),), (0,), 0))
        if rng.random() < 0.3:
            for side in (-1, 1, -1, 1):
                tip = (side * rng.uniform(0.2, 0.6), rng.uniform(-0.9, -0.3))
                root = (0, rng.uniform(-0.1, 0.4))
                pieces.append(Piece((ribbon([root, tip], [0.05, 0.015]),), (0,), 0))
        for _ in range(rng.integers(1, 6)):
            size = rng.uniform(0.3, 0.6)
            leaves = blob(rng, 0.4, lobes=16) * size
            place = (rng.normal(0, 0.3), crown + rng.normal(0, 0.2))
            pieces.append(Piece((leaves + place,), (1,), 1))
        return pieces
    if kind < 0.8:
        bend = rng.normal(0, 0.2)
        pieces.append(Piece((ribbon([(bend, 1), (bend, 0.4), (0, -0.4)], 0.03),), (0,), 0))
        for side in (-1, 1):
            stalk = rotate(
                leaf(rng.uniform(0.3, 0.7), 0.1), -np.pi / 2 + side * rng.uniform(0.5, 1.2)
            )
            pieces.append(Piece((stalk + at(bend * 0.7, rng.uniform(0.2, 0.8)),), (2,), 0))
        petals, size = int(rng.integers(4, 14)), rng.uniform(0.3, 0.55)
        for turn in np.linspace(0, 2 * np.pi, petals, endpoint=False):
            petal = rotate(leaf(size, size * rng.uniform(0.2, 0.35)), turn)
            pieces.append(Piece((petal + at(0, -0.45),), (1, 0), 1))
        pieces.append(Piece((ellipse(0, -0.45, size * rng.uniform(0.2, 0.45)),), (1, 1), 2))
        return pieces
    for _ in range(rng.integers(4, 14)):
        turn = -np.pi / 2 + rng.normal(0, 0.6)
        blade = rotate(leaf(rng.uniform(0.8, 1.8), rng.uniform(0.03, 0.12)), turn)
        pieces.append(Piece((blade + at(rng.normal(0, 0.1), 0.9),), (), int(rng.integers(2))))
    return pieces
