"""Input of a net from images, as far as it is known without the data set."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from resnet_jax.config.schema import DataConfig
from resnet_jax.data.augment import standard as augment
from resnet_jax.data.augment.standard import Preprocess, Statistics
from resnet_jax.data.batch import Arrays
from resnet_jax.data.preprocessing import (
    Shape,
    augmentation,
    in_grey_levels,
    normalising_statistics,
)
from resnet_jax.data.sources.source import Source


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """Config and training images, as far as the input of a net depends on them.

    `shape` [*frames height width channels] of the net's input, `dtype` of stored
    images, `statistics` of the training images in grey levels, and `classes`, their
    names.
    """

    data: DataConfig = dataclasses.field(repr=False)
    shape: Shape
    dtype: np.dtype
    statistics: Statistics = dataclasses.field(repr=False)
    classes: tuple[str, ...] = dataclasses.field(repr=False)

    @functools.cached_property
    def preprocess(self) -> Preprocess:
        """Augmentation, of training images, and normalisation."""
        known = augment.build(augmentation(self.data), self.statistics)
        return in_grey_levels(known, self.dtype)

    def to_json(self) -> dict[str, Any]:
        """Everything but the config, for a file."""
        return {
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "statistics": {
                name: np.asarray(values).tolist()
                for name, values in self.statistics.items()
                if name != "pixel_mean" or augmentation(self.data).normalize == name
            },
            "classes": list(self.classes),
        }

    @classmethod
    def from_json(cls, tree: Mapping[str, Any], data: DataConfig) -> "Inputs":
        """Undo `to_json`; KeyError, TypeError or ValueError of a damaged tree."""
        return cls(
            data,
            tuple(map(int, tree["shape"])),
            np.dtype(tree["dtype"]),
            {name: np.asarray(x, float) for name, x in tree["statistics"].items()},
            tuple(map(str, tree["classes"])),
        )


def inputs_of(
    data: DataConfig,
    train: Source,
    resident: Mapping[str, Arrays] | None,
    shape: Shape,
) -> Inputs:
    """Compute the inputs of nets that are trained on a split, resident or streamed."""
    known = normalising_statistics(data, train, resident, shape)
    classes = train.classes or map(str, range(train.num_classes))
    return Inputs(data, shape, train.dtype, known, tuple(classes))
