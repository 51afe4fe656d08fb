"""Trained net of a run as an object that predicts on images."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped
from PIL import Image

from resnet_jax.config.schema import DataConfig
from resnet_jax.data import crops, decode
from resnet_jax.data.inputs import Inputs
from resnet_jax.data.statistics import LEVELS
from resnet_jax.errors import CheckpointError, ConfigError, DataError
from resnet_jax.runs.directory import read_json, write_json
from resnet_jax.train import stored, trained
from resnet_jax.train.protocols import OneCrop
from resnet_jax.train.state import Variables

# An image, several, or an array [b h w c] of the dtype of the data set or uint8
Images: TypeAlias = Image.Image | Sequence[Image.Image] | np.ndarray
INPUTS = "inputs.json"  # in the folder of a run
CHUNK = 64  # images of one forward pass


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedRun:
    """Trained net of a run: its spec, net, variables, and how it takes images.

    `variables` are {"params", "batch_stats"} after `step` updates.
    """

    spec: Any  # of the net: frozen data
    net: nn.Module
    variables: Variables = dataclasses.field(repr=False)
    step: int
    inputs: Inputs = dataclasses.field(repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.inputs.classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of the net's input; frames of clips come first."""
        return self.inputs.shape

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

    def probabilities(
        self, stored: Shaped[Array | np.ndarray, "b *hw c"]
    ) -> Float[Array, "b n"]:
        """Class probabilities of images [b *image_shape] as the data set stores them.

        They are cropped already and of the data set's dtype. For `jax.jit` and
        `jax.export`: `predict` computes the same of images of any size and kind.
        """
        inputs = self.inputs.preprocess(None, {"image": stored}, train=False)
        return _probabilities(self.net, self.variables, inputs)

    def _input(self, pixels: Sequence[decode.Pixels]) -> Float[Array, "b *hw c"]:
        """Crop and normalise images as an evaluation does."""
        crop = crops.preset(self.inputs.data.augment)
        batch = {"image": np.stack([self._sized(crop.eval(x)) for x in pixels])}
        return self.inputs.preprocess(None, batch, train=False)

    def _pixels(self, images: Images) -> Sequence[decode.Pixels]:
        """Images as arrays of the dtype and channels of the data set."""
        dtype = self.inputs.dtype
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
    which: stored.Which = "last",
    data_dir: str | None = None,
) -> LoadedRun:
    """Load the trained net of the run in folder `workdir`, finished or not; read-only.

    As `python -m resnet_jax.evaluate` chooses: the newest intact checkpoint, or with
    `which="best"` that of the best validation error; moving averages of parameters and
    statistics where the run has `train.ema`, else those of the last update. The run's
    folder has all that is needed; only for one that version 0.1 wrote the data set is
    opened, for its classes and statistics, in `data_dir` where it has moved.

    ConfigError where the folder holds no run, CheckpointError where it holds no usable
    checkpoint, DataError where the data set is needed and not there; each in one line.
    """
    if which not in ("last", "best"):
        raise ConfigError(f"which={which!r}: must be 'last' or 'best'")
    folder = pathlib.Path(workdir).expanduser()
    if (folder / INPUTS).exists():
        found = stored.read(folder, which)
        inputs = _recorded(folder, found.config.data)
        spec, variables, step = found.spec, found.variables, found.step
    else:
        opened = trained.load(folder, which=which, data_dir=data_dir)
        inputs = opened.experiment.pipeline.inputs
        spec, variables, step = opened.experiment.net, opened.variables, opened.step
    return LoadedRun(spec, spec.build(), variables, step, inputs)


def record(folder: pathlib.Path, inputs: Inputs) -> None:
    """Write what `load` needs to know of the data set of a run."""
    write_json(folder / INPUTS, inputs.to_json(), indent=None)


def _recorded(folder: pathlib.Path, data: DataConfig) -> Inputs:
    """The inputs that were recorded; CheckpointError where the file is damaged."""
    try:
        return Inputs.from_json(read_json(folder / INPUTS) or {}, data)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / INPUTS}: is damaged ({error!r}); put it back, or remove it: "
            "then the data set is opened"
        ) from error
