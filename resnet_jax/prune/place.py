"""A place in a network where channels may be cut."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from resnet_jax.prune.separate import Variables

Masks = Mapping[str, np.ndarray]  # of a reader, by its path: the channels that are kept


@dataclasses.dataclass(frozen=True)
class Place:
    """A layer whose input channels may be cut, and the modules around it, by path."""

    reader: str  # whose weights lose inputs
    norm: str | None  # in front of it, of these channels
    writers: tuple[str, ...] = ()  # that lose outputs; (): the map stays whole
    depthwise: str | None = None  # convolution between both, of these channels
    channels: tuple[int, ...] | None = None  # of the map, that are read; None: all
    # whose shortcut the output of the reader is added to, linearly
    unit: str | None = None

    @property
    def inside(self) -> tuple[str, ...]:
        """Modules whose outputs are these channels alone."""
        return (*self.writers, *([self.depthwise] if self.depthwise else []))


def width(place: Place, variables: Variables) -> int:
    """Number of channels that may be cut."""
    if place.channels is not None:
        return len(place.channels)
    made = place.writers[0] if place.writers else None
    params = variables["params"]
    return at(params, made or place.reader)["kernel"].shape[-1 if made else -2]


def of_pixels(mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The mask of the inputs of a kernel: of each pixel, where a map was flattened."""
    return np.tile(mask, kernel.shape[-2] // len(mask))


def at(tree: Mapping, path: str) -> Any:
    """The subtree of a module."""
    return functools.reduce(lambda inner, name: inner[name], path.split("/"), tree)
