"""Trained net of a run as an object that predicts on images."""

import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from resnet_jax.data import crops, decode
from resnet_jax.data.pipeline import Pipeline
from resnet_jax.data.statistics import LEVELS
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.train import trained
from resnet_jax.train.protocols import OneCrop
from resnet_jax.train.state import Variables

# An image, several, or an array [b h w c] of the dtype of the data set or uint8
Images: TypeAlias = Image.Image | Sequence[Image.Image] | np.ndarray
CHUNK = 64  # images of one forward pass


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedRun:
    """Trained net of a run: its spec, net, variables, and how it takes images.

    `variables` are {"params", "batch_stats"} after `step` updates, `classes` the names
    of the data set's classes, `image_shape` (height, width, channels) of the net's
    input.
    """

    spec: Any  # of the net: frozen data
    net: nn.Module
    variables: Variables = dataclasses.field(repr=False)
    step: int
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    pipeline: Pipeline = dataclasses.field(repr=False)

    def preprocess(self, images: Images) -> Float[Array, "b *hw c"]:
        """Input of the net, float32 [b h w c], as evaluation under `1crop` makes it.

        `images`: one PIL image of any mode, a list of them, or an array [b h w c] of
        uint8 grey levels (of clips [b t h w c]) or of the data set's own dtype. They
        get the channels of the data set, the centre crop where its images are cropped,
        and the normalisation by the training images.

        DataError for images of another size where nothing is cropped, and for arrays of
        other axes, channels or dtype.
        """
        return self._input(self._pixels(images))

    def predict(self, images: Images) -> Float[np.ndarray, "b n"]:
        """Class probabilities, float32 [b n], of images as `preprocess` takes them.

        Softmax of the logits that `python -m resnet_jax.evaluate` scores under
        protocol `1crop`; `classes` has the names. Errors are those of `preprocess`.
        """
        pixels, rows = self._pixels(images), []
        for start in range(0, len(pixels), CHUNK):
            part = self._input(pixels[start : start + CHUNK])
            if start:  # the last part has the shape of the others: compiled once
                missing = CHUNK - len(part)
                part = jnp.pad(part, [(0, missing)] + [(0, 0)] * (part.ndim - 1))
            rows.append(np.asarray(_probabilities(self.net, self.variables, part)))
        return np.concatenate(rows)[: len(pixels)]

    def _input(self, pixels: Sequence[decode.Pixels]) -> Float[Array, "b *hw c"]:
        """Crop and normalise images as an evaluation does."""
        crop = crops.preset(self.pipeline.config.data.augment)
        batch = {"image": np.stack([self._sized(crop.eval(x)) for x in pixels])}
        return self.pipeline.preprocess(None, batch, train=False)

    def _pixels(self, images: Images) -> Sequence[decode.Pixels]:
        """Images as arrays of the dtype and channels of the data set."""
        dtype = self.pipeline.splits["train"].dtype
        if isinstance(images, np.ndarray):
            if images.dtype not in (np.uint8, dtype):
                raise DataError(
                    f"images: an array of {images.dtype}; must be uint8, grey levels"
                    f"{'' if dtype == np.uint8 else f', or {dtype}'}"
                )
            if images.ndim != 1 + len(self.image_shape) or not len(images):
                raise DataError(
                    f"images: an array of shape {images.shape}; must be "
                    f"{self._axes('b')}, for one image [None] adds the axis b"
                )
            arrays = list(images)
        else:
            pictures = [images] if isinstance(images, Image.Image) else list(images)
            arrays = [self._decoded(picture, i) for i, picture in enumerate(pictures)]
            if not arrays:
                raise DataError("images: an empty list; give at least one image")
        return [_stored(array, dtype) for array in arrays]

    def _decoded(self, picture: Image.Image, number: int) -> np.ndarray:
        """Grey levels of a PIL image in the channels of the data set."""
        if not isinstance(picture, Image.Image):
            raise DataError(
                f"images[{number}]: {type(picture).__name__} is no PIL image; give PIL "
                f"images, or one array {self._axes('b')}"
            )
        if len(self.image_shape) != 3:
            raise DataError(
                f"images[{number}]: the net takes clips, not images; give an array "
                f"{self._axes('b')}"
            )
        # A copy, as decoding may change the mode of a file that is not loaded yet.
        return decode.eight_bits(picture.copy(), self.image_shape[-1])

    def _sized(self, image: np.ndarray) -> np.ndarray:
        """The image; DataError unless it has the shape of the net's input."""
        if image.shape != self.image_shape:
            *_, height, width, _ = self.image_shape
            raise DataError(
                f"images: an image of shape {image.shape}, but the net was trained on "
                f"{self.image_shape} and nothing is cropped; resize it, for example "
                f"image.resize(({width}, {height}))"
            )
        return image

    def _axes(self, first: str) -> str:
        """Axes of the net's input, as in an error: [b 8 8 1]."""
        return f"[{' '.join(map(str, (first, *self.image_shape)))}]"


@functools.partial(jax.jit, static_argnums=0)
def _probabilities(net, variables, inputs):
    logits = OneCrop()(lambda x: net.apply(variables, x, train=False), inputs)
    return jax.nn.softmax(logits.astype(jnp.float32))


def _stored(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Grey levels of uint8 as a data set of another dtype stores them."""
    if image.dtype == dtype:
        return image
    values = image / LEVELS[dtype.name]
    return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)


def load(
    workdir: str | os.PathLike[str],
    *,
    which: Literal["last", "best"] = "last",
    data_dir: str | None = None,
) -> LoadedRun:
    """Load the trained net of the run in folder `workdir`, finished or not; read-only.

    As `python -m resnet_jax.evaluate` chooses: the newest intact checkpoint, or with
    `which="best"` that of the best validation error; moving averages of parameters and
    statistics where the run has `train.ema`, else those of the last update. The data
    set of the run is opened, for its classes and the statistics that normalise images;
    `data_dir` names its folder where that is another than during the run.

    ConfigError where the folder holds no run, CheckpointError where it holds no usable
    checkpoint, DataError where the data set is not there; each in one line.
    """
    if which not in ("last", "best"):
        raise ConfigError(f"which={which!r}: must be 'last' or 'best'")
    found = trained.load(os.fspath(workdir), which=which, data_dir=data_dir)
    experiment = found.experiment
    pipeline = experiment.pipeline
    return LoadedRun(
        spec=experiment.net,
        net=experiment.net.build(),
        variables=found.variables,
        step=found.step,
        classes=pipeline.splits["train"].classes,
        image_shape=pipeline.image_shape,
        pipeline=pipeline,
    )
