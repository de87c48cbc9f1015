"""A picture under construction: its colours, and the part that is visible at each pixel."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from sam_jax.data.synthetic.materials import (
    Box,
    Lighting,
    Material,
    mean_colour,
    render_material,
    render_tones,
)
from sam_jax.data.synthetic.things import Thing

ROOT = -1
"""Parent of nodes that belong to nothing larger."""

SUBPIXEL_BITS = 4


class Look(NamedTuple):
    """How a thing is lit and rendered.

    Attributes:
        relief: Strength of shading, from 0 (flat as a poster) to 1 (a solid that darkens towards its edge).
        bevel: Distance from the edge that is rounded, as a share of the thing's thickness.
        seams: Whether each part is rounded by itself.
        gloss: Strength of highlights.
        shadow: Share of the light that the shadow takes from what is behind.
        softness: Standard deviation of the blur of the edge in pixels.
        raggedness: Displacement of the outline in pixels, for leaves, fur and torn paper.
    """

    relief: float = 0.0
    bevel: float = 1.0
    seams: bool = False
    gloss: float = 0.0
    shadow: float = 0.0
    softness: float = 0.5
    raggedness: float = 0.0


FLAT = Look()


class Canvas:
    """A picture that is painted from back to front.

    Every part is a node of a forest, and each pixel belongs to the node that is visible there. A mask is the pixels of
    a node and of all nodes below it, so masks are exact and nested, whatever the camera then does to the colours.
    """

    def __init__(self, size: tuple[int, int], lighting: Lighting):
        self.size = size
        self.lighting = lighting
        self.colours: Float[np.ndarray, "h w 3"] = np.zeros((*size, 3), np.float32)
        self.labels: UInt16[np.ndarray, "h w"] = np.zeros(size, np.uint16)
        self.parents: list[int] = []
        self.regions: list[int] = []

    def add_node(self, parent: int = ROOT) -> int:
        """Add a node, which may be a group that has no pixels of its own, and return its number."""
        self.parents.append(parent)
        return len(self.parents) - 1

    def average(self, x: float, y: float) -> Float[np.ndarray, "3"]:
        """The mean colour around a place, for things that are hard to tell from their background."""
        height, width = self.size
        row, column = int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))
        near = self.colours[max(row - 8, 0) : row + 8, max(column - 8, 0) : column + 8]
        return near.reshape(-1, 3).mean(axis=0)

    def blur(self, softness: float) -> None:
        """Blur all colours painted so far; masks stay as they are."""
        if softness > 0.3:
            self.colours = blur(self.colours, softness)

    def paint_regions(
        self, regions: UInt8[np.ndarray, "h w"], materials: list[Material], look: Look = FLAT
    ) -> list[int]:
        """Paint regions that cover the frame, numbered from 1 in the order of their materials. Returns their nodes."""
        nodes = [self.add_node() for _ in materials]
        self.regions += nodes
        whole = (0, 0, *self.size)
        self._apply(
            whole, regions, nodes, list(range(len(materials))), dict(enumerate(materials)), look
        )
        return nodes

    def paint(
        self,
        thing: Thing,
        materials: dict[int, Material],
        placement: Float[np.ndarray, "2 3"],
        look: Look,
        wobble: UInt8[np.ndarray, "side side"],
        parent: int = ROOT,
    ) -> int | None:
        """Paint a thing in front of everything painted so far.

        Args:
            thing: Pieces of the thing, in its own unit.
            materials: Materials by number of the surface.
            placement: Affine map from the thing's unit to pixels.
            look: Lighting and rendering of the thing.
            wobble: Tile of smooth noise that displaces a ragged outline.
            parent: Node of the group that the thing belongs to.

        Returns:
            The node of the thing, or None if no pixel of it lies in the frame.
        """
        contours = [
            [outline @ placement[:, :2].T + placement[:, 2] for outline in piece.outlines]
            for piece in thing
        ]
        box = self._box_around(np.concatenate([c for piece in contours for c in piece]), margin=4)
        if box is None:
            return None
        keys = sorted({(piece.part, piece.surface) for piece in thing})
        parts = np.zeros(box[2:], np.uint8)
        for piece, outlines in zip(thing, contours, strict=True):
            key = 1 + keys.index((piece.part, piece.surface))
            below = [k for k, (part, _) in enumerate(keys, 1) if _is_within(part, piece.part[:-1])]
            _fill(parts, outlines, box, key, np.array(below) if piece.inside else None)
        if look.raggedness > 0.3:
            parts = _displace(parts, wobble, box, look.raggedness)
        if not parts.any():
            return None
        nodes: dict[tuple[int, ...], int] = {(): self.add_node(parent)}
        for part, _ in keys:
            for depth in range(1, len(part) + 1):
                if part[:depth] not in nodes:
                    nodes[part[:depth]] = self.add_node(nodes[part[: depth - 1]])
        surfaces = [surface for _, surface in keys]
        self._apply(box, parts, [nodes[part] for part, _ in keys], surfaces, materials, look)
        return nodes[()]

    def _box_around(self, points: Float[np.ndarray, "k 2"], margin: int) -> Box | None:
        height, width = self.size
        left, top = np.maximum(np.floor(points.min(axis=0)).astype(int) - margin, 0)
        right, bottom = np.ceil(points.max(axis=0)).astype(int) + margin
        right, bottom = min(int(right), width), min(int(bottom), height)
        if right - left < 2 or bottom - top < 2:
            return None
        return int(top), int(left), bottom - int(top), right - int(left)

    def _apply(
        self,
        box: Box,
        parts: UInt8[np.ndarray, "h w"],
        nodes: list[int],
        surfaces: list[int],
        materials: dict[int, Material],
        look: Look,
    ) -> None:
        top, left, height, width = box
        view = (slice(top, top + height), slice(left, left + width))
        solid = parts > 0
        colours = _colour_parts(parts, box, surfaces, materials)
        if look.relief > 0:
            _shade(colours, parts, look, self.lighting.direction)
        if look.shadow > 0:
            self._cast_shadow(box, solid, look.shadow)
        np.copyto(self.labels[view], np.array([0, *nodes], np.uint16)[parts], where=solid)
        below = self.colours[view]
        if solid.all():
            below[:] = colours
            return
        alpha = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), max(look.softness, 0.3))
        below += alpha[..., None] * (colours - below)

    def _cast_shadow(self, box: Box, solid: Bool[np.ndarray, "h w"], strength: float) -> None:
        """Darken the background on the side away from the light, at a quarter of the resolution."""
        height, width = self.size
        small = np.zeros((-(-height // 4), -(-width // 4)), np.float32)
        coarse = solid[::4, ::4]
        rows, columns = (np.nonzero(coarse)[axis] for axis in (0, 1))
        reach = 0.06 * (box[2] + box[3]) / 4
        rows = (rows + box[0] / 4 - reach * self.lighting.direction[1]).astype(int)
        columns = (columns + box[1] / 4 - reach * self.lighting.direction[0]).astype(int)
        seen = (rows >= 0) & (rows < small.shape[0]) & (columns >= 0) & (columns < small.shape[1])
        small[rows[seen], columns[seen]] = 1
        small = cv2.GaussianBlur(small, (0, 0), max(0.8, 0.35 * reach))
        shade = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        pad = int(6 * reach) + 12
        view = (
            slice(max(box[0] - pad, 0), box[0] + box[2] + pad),
            slice(max(box[1] - pad, 0), box[1] + box[3] + pad),
        )
        self.colours[view] *= (1 - np.float32(strength) * shade[view])[..., None]


def blur(colours: np.ndarray, softness: float) -> np.ndarray:
    """Gaussian blur of a standard deviation in pixels; a wide one is computed at a lower resolution."""
    if softness < 3:
        return cv2.GaussianBlur(colours, (0, 0), softness)
    height, width = colours.shape[:2]
    factor = softness / 1.5
    size = (max(8, round(width / factor)), max(8, round(height / factor)))
    small = cv2.GaussianBlur(cv2.resize(colours, size, interpolation=cv2.INTER_AREA), (0, 0), 1.4)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _is_within(part: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    return part[: len(whole)] == whole


def _fill(
    parts: UInt8[np.ndarray, "h w"],
    outlines: list[np.ndarray],
    box: Box,
    key: int,
    only_on: np.ndarray | None,
) -> None:
    fixed = [
        np.round((outline - (box[1], box[0])) * 2**SUBPIXEL_BITS).astype(np.int32)
        for outline in outlines
    ]
    if only_on is None:
        cv2.fillPoly(parts, fixed, key, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
        return
    area = np.zeros_like(parts)
    cv2.fillPoly(area, fixed, 1, lineType=cv2.LINE_8, shift=SUBPIXEL_BITS)
    allowed = np.zeros(256, bool)
    allowed[only_on] = True
    parts[(area > 0) & allowed[parts]] = key


def _displace(
    parts: UInt8[np.ndarray, "h w"], wobble: UInt8[np.ndarray, "side side"], box: Box, pixels: float
) -> UInt8[np.ndarray, "h w"]:
    # Two pieces of one tile, at a scale at which the displacement is about as long as its waves.
    scale = 8 / max(pixels, 1)
    pattern = np.array([[scale, 0, 0], [0, scale, 0]])
    down, right = (render_tones(tile, pattern, box) for tile in (wobble, wobble.T.copy()))
    shift = cv2.GaussianBlur(np.stack([down, right], axis=2), (0, 0), max(0.6, 0.4 * pixels))
    rows, columns = np.mgrid[: box[2], : box[3]].astype(np.float32)
    rows += np.float32(pixels) * shift[..., 0]
    columns += np.float32(pixels) * shift[..., 1]
    return cv2.remap(parts, columns, rows, cv2.INTER_NEAREST, borderValue=0)


def _colour_parts(
    parts: UInt8[np.ndarray, "h w"], box: Box, surfaces: list[int], materials: dict[int, Material]
) -> Float[np.ndarray, "h w 3"]:
    used = np.array([-1, *surfaces], np.int16)[parts]
    present = [s for s in dict.fromkeys(surfaces) if (used == s).any()]
    if len(present) == 1:
        return render_material(materials[present[0]], box)
    colours = np.empty((*box[2:], 3), np.float32)
    colours[:] = mean_colour(materials[present[0]])
    for surface in present:
        here = used == surface
        rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
        view = (slice(top, top + height), slice(left, left + width))
        patch = render_material(materials[surface], (box[0] + top, box[1] + left, height, width))
        cv2.copyTo(patch, here[view].astype(np.uint8), colours[view])
    return colours


def _shade(
    colours: Float[np.ndarray, "h w 3"],
    parts: UInt8[np.ndarray, "h w"],
    look: Look,
    light: tuple[float, float],
) -> None:
    """Shade a thing as if it were inflated: its height grows with the distance from its edge."""
    solid = (parts > 0).astype(np.uint8)
    if look.seams:
        solid[:, 1:] &= (parts[:, 1:] == parts[:, :-1]).astype(np.uint8)
        solid[1:] &= (parts[1:] == parts[:-1]).astype(np.uint8)
    distance = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    radius = max(2.0, look.bevel * float(distance.max()))
    inward = np.minimum(distance / radius, 1)
    height = cv2.blur(radius * np.sqrt(inward * (2 - inward)), (5, 5))
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, scale=1 / 8)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, scale=1 / 8)
    facing = 1 - np.float32(0.9) * (slope_x * light[0] + slope_y * light[1])
    facing /= np.sqrt(1 + slope_x**2 + slope_y**2)
    shade = np.clip(1 + np.float32(look.relief) * (facing - 1), 0.15, 1.6)
    colours *= shade[..., None]
    if look.gloss > 0:
        glint = np.clip(facing - 0.05, 0, 1.3) ** 24
        colours += (np.float32(look.gloss) * np.minimum(glint, 1.5) * (distance > 1.5))[..., None]
