"""Closed outlines: arrays of points (x, y), with y pointing down, in any unit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

Outline = Float[np.ndarray, "k 2"]

Length = float | int
"""A coordinate or length, in the unit of the outline."""


def at(x: Length, y: Length) -> Float[np.ndarray, "2"]:
    """A place or a shift, to be added to outlines."""
    return np.array([x, y], float)


def ellipse(
    x: Length, y: Length, radius_x: Length, radius_y: Length | None = None, angle: float = 0.0
) -> Outline:
    """An ellipse; a circle where one radius is given. The angle is in radians."""
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points = np.column_stack([radius_x * np.cos(turn), (radius_y or radius_x) * np.sin(turn)])
    return rotate(points, angle) + at(x, y)


def rotate(points: Outline, angle: float) -> Outline:
    """Rotate an outline about the origin by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def blob(rng: np.random.Generator, roughness: float = 0.3, lobes: int = 9) -> Outline:
    """A smooth round shape of about unit radius: harmonics of the radius, falling with frequency."""
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    order = np.arange(1, lobes + 1)
    amplitude = roughness * rng.standard_normal(lobes) / order**1.2
    phase = rng.uniform(0, 2 * np.pi, lobes)
    radius = np.exp(np.cos(turn[:, None] * order + phase) @ amplitude)
    aspect = np.exp(rng.normal(0, 0.25))
    points = np.column_stack([radius * np.cos(turn) * aspect, radius * np.sin(turn) / aspect])
    return points / max(np.abs(points).max(), 1e-6)


def polygon(rng: np.random.Generator, corners: int, irregularity: float = 0.3) -> Outline:
    """A polygon of about unit radius, round about the origin, so its sides never cross."""
    spacing = 1 + irregularity * rng.uniform(-1, 1, corners)
    turn = np.cumsum(spacing / spacing.sum()) * 2 * np.pi + rng.uniform(0, 2 * np.pi)
    radius = 1 - irregularity * rng.uniform(0, 1, corners)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn)])


def superellipse(
    x: Length, y: Length, radius_x: Length, radius_y: Length, power: Length = 4
) -> Outline:
    """A superellipse, from an ellipse (power 2) towards a rectangle (infinite power)."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    cosine, sine = np.cos(turn), np.sin(turn)
    unit = np.column_stack([np.sign(cosine), np.sign(sine)])
    unit *= np.abs(np.column_stack([cosine, sine])) ** (2 / power)
    return unit * (radius_x, radius_y) + at(x, y)


def rectangle(left: Length, top: Length, right: Length, bottom: Length) -> Outline:
    """An upright rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def ribbon(
    points: Sequence[Any] | np.ndarray, radii: Sequence[float] | np.ndarray | float
) -> Outline:
    """A limb, branch or wire: a smooth line through points, as wide as its radii, with round ends."""
    joints = np.asarray(points, float)
    thickness = np.broadcast_to(np.asarray(radii, float), len(joints))
    place = np.linspace(0, len(joints) - 1, 8 * (len(joints) - 1) + 1)
    line = smooth(joints, place)
    width = np.interp(place, np.arange(len(joints)), thickness)[:, None]
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.column_stack([-along[:, 1], along[:, 0]])
    turn = np.linspace(0, np.pi, 9)[1:-1, None]
    tip = line[-1] + width[-1] * (np.cos(turn) * across[-1] + np.sin(turn) * along[-1])
    tail = line[0] + width[0] * (-np.cos(turn) * across[0] - np.sin(turn) * along[0])
    return np.concatenate([line + across * width, tip, (line - across * width)[::-1], tail])


def smooth(points: np.ndarray, place: np.ndarray) -> Outline:
    """Catmull-Rom spline through points; point k is at place k."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    segment = np.clip(place.astype(int), 0, len(points) - 2)
    t = (place - segment)[:, None]
    a, b, c, d = (padded[segment + k] for k in range(4))
    return 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )


def lathe(rng: np.random.Generator, height: Length = 1.0) -> Outline:
    """A thing turned on a lathe, seen from the side: a bottle, vase, cup, lamp or tower."""
    knots = int(rng.integers(3, 8))
    radii = np.exp(rng.normal(-1.0, 0.45, knots)) * height
    levels = np.sort(rng.uniform(-height, height, knots))
    levels[0], levels[-1] = -height, height
    if rng.random() < 0.6:
        level = np.linspace(-height, height, 40)
        place = np.interp(level, levels, np.arange(knots))
        radius = smooth(np.column_stack([radii, radii]), place)[:, 0].clip(0.03)
    else:
        level, radius = levels, radii
    right, left = np.column_stack([radius, level]), np.column_stack([-radius, level])
    return np.concatenate([right, left[::-1]])


def leaf(length: Length, width: Length) -> Outline:
    """A leaf, petal, eye or fish's body: two arcs with pointed ends, from (0, 0) to (length, 0)."""
    along = np.linspace(0, 1, 16)
    bulge = width * np.sin(np.pi * along**0.8)
    upper = np.column_stack([along * length, -bulge])
    return np.concatenate([upper, (upper * (1, -1))[-2:0:-1]])
