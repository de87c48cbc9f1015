"""Compositions of scenes: subjects, crowds on the ground, heaps, rows, riders, things in front of things."""

from collections.abc import Callable, Iterable

import numpy as np

from sam_jax.data.synthetic.artefacts import (
    make_box,
    make_building,
    make_cycle,
    make_disc,
    make_furniture,
    make_grid,
    make_line,
    make_rock,
    make_vehicle,
    make_vessel,
)
from sam_jax.data.synthetic.backgrounds import (
    paint_backdrop,
    paint_landscape,
    paint_patchwork,
    paint_room,
)
from sam_jax.data.synthetic.canvas import ROOT, Canvas, Look
from sam_jax.data.synthetic.materials import Material, Surfaces, sample_colour, sample_material
from sam_jax.data.synthetic.textures import CLOUDS, COPIES_OF_A_KIND
from sam_jax.data.synthetic.things import (
    Thing,
    make_animal,
    make_bird,
    make_fish,
    make_person,
    make_plant,
    make_shape,
)

Maker = Callable[[np.random.Generator], Thing]

_MAKERS: tuple[tuple[Maker, float], ...] = (
    (make_person, 0.17),
    (make_animal, 0.17),
    (make_bird, 0.06),
    (make_fish, 0.03),
    (make_plant, 0.10),
    (make_shape, 0.13),
    (make_vehicle, 0.06),
    (make_cycle, 0.03),
    (make_building, 0.05),
    (make_vessel, 0.06),
    (make_furniture, 0.04),
    (make_box, 0.04),
    (make_disc, 0.05),
    (make_grid, 0.02),
    (make_line, 0.04),
    (make_rock, 0.06),
)
_SMALL: tuple[Maker, ...] = (
    make_rock,
    make_disc,
    make_shape,
    make_vessel,
    make_box,
    make_plant,
    make_fish,
)
_ORGANIC: tuple[Maker, ...] = (make_animal, make_bird, make_plant, make_rock, make_shape)
_RIDDEN: tuple[Maker, ...] = (make_cycle, make_animal, make_vehicle)

ALL_SURFACES = range(6)
"""Numbers that the surfaces of a thing can have."""

Dress = dict[int, Material]
"""Materials of a thing, by number of the surface."""


class Scene:
    """A canvas together with the surfaces, the light and the focus that all things of its scene share."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces):
        self.rng = rng
        self.canvas = canvas
        self.surfaces = surfaces
        self.hard_light = rng.random() < 0.5
        self.softness = float(rng.choice([0.35, 0.45, 0.65]))

    def choose(self) -> Maker:
        """Draw a kind of thing."""
        weights = np.array([weight for _, weight in _MAKERS])
        return _MAKERS[int(self.rng.choice(len(_MAKERS), p=weights / weights.sum()))][0]

    def dress(self, x: float, y: float, numbers: Iterable[int] = ALL_SURFACES) -> Dress:
        """Draw the materials of one thing, which are often alike and sometimes like the background."""
        rng = self.rng
        main = sample_colour(rng, self.surfaces.lighting)
        if rng.random() < 0.25:
            main = np.clip(self.canvas.average(x, y) * np.exp(rng.normal(0, 0.2)), 0.03, 1)
        unity, contrast = rng.uniform(0.2, 1), rng.choice([0.4, 0.9, 1.3])
        return {
            k: sample_material(
                rng,
                self.surfaces,
                near=main if k == 0 or rng.random() < unity else None,
                contrast=contrast,
            )
            for k in numbers
        }

    def look(self, size: float) -> Look:
        """Draw the look of a thing whose size is given in pixels."""
        rng = self.rng
        return Look(
            relief=rng.uniform(0.3, 1) if rng.random() < 0.65 else 0.0,
            bevel=rng.uniform(0.2, 1),
            seams=rng.random() < 0.6,
            gloss=rng.uniform(0.1, 0.7) if rng.random() < 0.15 else 0.0,
            shadow=rng.uniform(0.2, 0.75) if self.hard_light and rng.random() < 0.8 else 0.0,
            softness=self.softness * rng.uniform(0.8, 1.3),
            raggedness=size * rng.choice([0.0, 0.005, 0.012, 0.025]),
        )

    def place(
        self,
        maker: Maker,
        x: float,
        y: float,
        size: float,
        *,
        parent: int = ROOT,
        tilt: float = 0.1,
        materials: Dress | None = None,
    ) -> int | None:
        """Paint one thing with its centre at (x, y); `size` is half of its extent in pixels. Returns its node."""
        rng = self.rng
        angle, aspect = rng.normal(0, tilt), np.exp(rng.normal(0, 0.1))
        flip = rng.choice([-1, 1])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        placement = np.column_stack([turn @ np.diag([flip * aspect, 1 / aspect]) * size, [x, y]])
        look = self.look(size)
        if maker is make_plant and rng.random() < 0.7:
            look = look._replace(raggedness=size * rng.uniform(0.015, 0.05))
        if maker not in _ORGANIC:
            look = look._replace(raggedness=0.0)
        wobble = self.surfaces.bank[CLOUDS][int(rng.integers(COPIES_OF_A_KIND))]
        thing = maker(rng)
        if materials is None:
            materials = self.dress(x, y, sorted({piece.surface for piece in thing}))
        return self.canvas.paint(thing, materials, placement, look, wobble, parent)


def compose_scene(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> None:
    """Paint a background, things in it, and now and then something in front of them all."""
    scene = Scene(rng, canvas, surfaces)
    paint = (paint_landscape, paint_room, paint_patchwork, paint_backdrop)
    horizon = paint[int(rng.choice(4, p=[0.4, 0.18, 0.22, 0.2]))](rng, canvas, surfaces)
    if rng.random() < 0.45:
        canvas.blur(rng.exponential(2.5))
    arrange = (_crowd, _subject, _heap, _clutter, _row, _riders)
    arrange[int(rng.choice(6, p=[0.24, 0.34, 0.12, 0.12, 0.08, 0.10]))](scene, horizon)
    if rng.random() < 0.12:
        _obstruct(scene)


def add_thing(rng: np.random.Generator, canvas: Canvas, surfaces: Surfaces) -> None:
    """Paint one more thing, for pictures with too few masks."""
    height, width = canvas.size
    scene = Scene(rng, canvas, surfaces)
    size = rng.uniform(0.08, 0.2) * min(height, width)
    scene.place(scene.choose(), rng.uniform(0, width), rng.uniform(0, height), size)


def _subject(scene: Scene, horizon: float) -> None:
    """Place one to three things that fill much of the frame, over smaller ones that are out of focus."""
    rng, (height, width) = scene.rng, scene.canvas.size
    for _ in range(int(rng.integers(0, 5))):
        size = rng.uniform(0.05, 0.2) * height
        scene.place(scene.choose(), rng.uniform(0, width), rng.uniform(0.2, 1) * height, size)
    if rng.random() < 0.2:
        scene.canvas.blur(rng.uniform(0, 3))
    maker = scene.choose()
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.27, 0.13]))):
        size = rng.uniform(0.22, 0.62) * min(height, width)
        x, y = rng.normal(0.5, 0.2) * width, rng.normal(0.55, 0.13) * height
        scene.place(maker, x, y, size)
        if rng.random() < 0.5:
            maker = scene.choose()


def _crowd(scene: Scene, horizon: float) -> None:
    """Place things on the ground, nearer ones lower and larger."""
    rng, (height, width) = scene.rng, scene.canvas.size
    kinds = [scene.choose() for _ in range(int(rng.integers(1, 5)))]
    near = rng.uniform(0.25, 0.5) * height
    for foot in np.sort(rng.uniform(horizon, height * 1.15, int(rng.integers(3, 13)))):
        depth = 0.15 + 0.85 * (foot - horizon) / max(1.15 * height - horizon, 1)
        size = near * depth * np.exp(rng.normal(0, 0.2))
        maker = kinds[int(rng.integers(len(kinds)))]
        scene.place(maker, rng.uniform(-0.05, 1.05) * width, foot - 0.9 * size, size, tilt=0.05)


def _heap(scene: Scene, horizon: float) -> None:
    """Place many of a kind over each other, like fruit or stones. The heap has a mask, too."""
    rng, (height, width) = scene.rng, scene.canvas.size
    maker = _SMALL[int(rng.integers(len(_SMALL)))]
    heap = scene.canvas.add_node()
    size = rng.uniform(0.05, 0.16) * max(height, width)
    spread = rng.uniform(0.12, 0.45, 2) * (width, height)
    centre = rng.uniform(0.3, 0.7, 2) * (width, height)
    wardrobe = [scene.dress(*centre) for _ in range(int(rng.integers(1, 5)))]
    count = int(np.clip(2.5 * spread[0] * spread[1] / size**2, 5, 45))
    places = centre + spread * rng.uniform(-1, 1, (count, 2))
    for x, y in places[np.argsort(places[:, 1])]:
        clothes = wardrobe[int(rng.integers(len(wardrobe)))]
        grown = size * np.exp(rng.normal(0, 0.15))
        scene.place(maker, x, y, grown, parent=heap, tilt=1.0, materials=clothes)


def _clutter(scene: Scene, horizon: float) -> None:
    """Place things of all sizes anywhere, the large ones first."""
    rng, (height, width) = scene.rng, scene.canvas.size
    sizes = np.sort(rng.pareto(1.6, int(rng.integers(8, 26))) + 1)[::-1]
    for size in np.clip(sizes * 0.05, 0, 0.4) * max(height, width):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        scene.place(scene.choose(), x, y, size, tilt=0.3)


def _row(scene: Scene, horizon: float) -> None:
    """Place similar things side by side, as on a shelf. The row has a mask, too."""
    rng, (height, width) = scene.rng, scene.canvas.size
    maker = scene.choose()
    columns, rows = int(rng.integers(3, 9)), int(rng.integers(1, 4))
    group = scene.canvas.add_node()
    size = rng.uniform(0.35, 0.6) * min(width / columns, height / rows / 1.2)
    clothes = scene.dress(width / 2, height / 2) if rng.random() < 0.4 else None
    for y in np.linspace(0.5, rows - 0.5, rows) / rows * height:
        for x in np.linspace(0.5, columns - 0.5, columns) / columns * width:
            shake = rng.normal(0, 0.1 * size, 2)
            scene.place(
                maker, x + shake[0], y + shake[1], size, parent=group, tilt=0.04, materials=clothes
            )


def _riders(scene: Scene, horizon: float) -> None:
    """Place a person on, in or beside something: one mask for both, and one for each."""
    rng, (height, width) = scene.rng, scene.canvas.size
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.15, 0.4) * min(height, width)
        x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.45, 0.8) * height
        group = scene.canvas.add_node()
        ridden = _RIDDEN[int(rng.integers(len(_RIDDEN)))]
        if rng.random() < 0.5:
            scene.place(make_person, x, y - 0.7 * size, size * 0.8, parent=group)
            scene.place(ridden, x, y, size, parent=group)
        else:
            scene.place(ridden, x, y, size, parent=group)
            scene.place(make_person, x, y - 0.6 * size, size * 0.8, parent=group)
    if rng.random() < 0.5:
        _crowd(scene, horizon)


def _obstruct(scene: Scene) -> None:
    """Place a pole, fence, branch or tuft close to the camera, which cuts what is behind it in two."""
    rng, (height, width) = scene.rng, scene.canvas.size
    maker: Maker = (make_line, make_grid, make_plant)[int(rng.integers(3))]
    scene.softness = rng.uniform(0.6, 2.5)
    for _ in range(int(rng.integers(1, 3))):
        size = rng.uniform(0.4, 0.9) * height
        scene.place(maker, rng.uniform(0, width), rng.uniform(0.3, 1) * height, size)
