"""From the parts of a canvas to the masks of an example."""

import cv2
import numpy as np
from jaxtyping import Bool, Integer

from sam_jax.data.synthetic.canvas import ROOT

MIN_PIXELS = 40
"""Smallest area of a mask in pixels; nobody would click on smaller ones."""


class NodeMasks:
    """Masks of nodes, drawn on access: the pixels of a node and of all nodes below it.

    Args:
        labels: Node that each pixel belongs to.
        members: Nodes that make up each mask.
    """

    def __init__(self, labels: Integer[np.ndarray, "h w"], members: Bool[np.ndarray, "m k"]):
        self._labels = labels
        self._members = members

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        return self._members[index][self._labels]


def split_regions(
    labels: Integer[np.ndarray, "h w"], parents: list[int], regions: list[int]
) -> None:
    """Add nodes for the pieces that things cut a region of the background into, below the node of the region.

    Both readings are right: the sky to the left and right of a tower is one sky, or two pieces.
    """
    for region in regions:
        here = labels == region
        count, pieces = cv2.connectedComponents(here.view(np.uint8), connectivity=8)
        sizes = np.bincount(pieces.ravel())[1:]
        if count < 3 or np.sort(sizes)[-2] < MIN_PIXELS:
            continue
        for piece in np.flatnonzero(sizes >= MIN_PIXELS) + 1:
            labels[pieces == piece] = len(parents)
            parents.append(region)


def choose_masks(
    labels: Integer[np.ndarray, "h w"],
    parents: list[int],
    at_most: int,
    rng: np.random.Generator,
) -> NodeMasks:
    """Choose visible nodes with different masks: all of them, or a draw in which large ones are preferred."""
    count = len(parents)
    members = np.eye(count, dtype=bool)
    # A node comes after its parent, so the descendants of each are complete when it is reached.
    for node in range(count - 1, -1, -1):
        if parents[node] != ROOT:
            members[parents[node]] |= members[node]
    own = np.bincount(labels.ravel(), minlength=count)
    areas = members @ own
    is_same_as_child = np.zeros(count, bool)
    for node in range(count):
        parent = parents[node]
        if parent != ROOT and areas[parent] == areas[node]:
            is_same_as_child[parent] = True
    usable = np.flatnonzero((areas >= MIN_PIXELS) & ~is_same_as_child)
    if len(usable) > at_most:
        weights = areas[usable] ** 0.4
        usable = np.sort(rng.choice(usable, at_most, replace=False, p=weights / weights.sum()))
    return NodeMasks(labels.astype(np.int16), members[usable])
