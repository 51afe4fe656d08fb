"""What the loop eats: batches of a config's data set, resident or streamed."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from resnet_jax.config.schema import Config, DataConfig
from resnet_jax.data import decode
from resnet_jax.data import reader as loader
from resnet_jax.data.augment import standard as augment
from resnet_jax.data.augment.mixing import MixSpec
from resnet_jax.data.augment.policies import PolicySpec
from resnet_jax.data.sources import tfds as sources
from resnet_jax.errors import ConfigError
from resnet_jax.train.program import Program
from resnet_jax.train.state import Sums

Batch = dict[str, np.ndarray]
# {"val": sums, "test": sums}; of several seeds each sum is an array [seeds].
Scores = dict[str, dict[str, Any]]
RESIDENT_BYTES = 2**31  # larger sets are streamed unless a config says otherwise


@dataclasses.dataclass(frozen=True)
class Feeds:
    """The train batches of a run, its evaluation splits, and its preprocessing.

    `resident` are all splits as host arrays, or None where streamed.
    """

    config: Config
    splits: dict[str, sources.Source]
    resident: dict[str, Batch] | None
    image_shape: tuple[int, ...]  # [*frames height width channels]
    preprocess: Callable[..., jax.Array]

    @property
    def crop(self) -> decode.CropSpec:
        """The host's share of the augmentation."""
        return decode.preset(self.config.data.augment)

    def scaled(self, size: int | None) -> Callable[..., jax.Array]:
        """`preprocess` with training images of `size` pixels on their shorter side.

        Bilinear, and filtered where they shrink: the same content at another resolution
        (He et al. 2014, Sec. 2.3). Images that are evaluated stay as they are.
        """
        if size is None:
            return self.preprocess

        def preprocess(key, batch, *, train):
            images = self.preprocess(key, batch, train=train)
            if not train:
                return images
            shape = (len(images), *scaled_shape(images.shape[1:], size))
            return jax.image.resize(images, shape, "bilinear")

        return preprocess

    def train(self) -> Callable[[int, int], Batch]:
        """feeds(step, k): this process's share of the k batches from `step` on.

        Of several seeds [seeds k b ...], each in its own order.
        """
        feeds = [self._of(seed) for seed in self.config.seeds]
        if len(feeds) == 1:
            return feeds[0]
        return lambda step, k: _stacked(feed(step, k) for feed in feeds)

    def _of(self, seed: int) -> Callable[[int, int], Batch]:
        place, size = _place(), self.config.data.batch_size
        if self.resident:
            arrays = self.resident["train"]
            reader = loader.Resident(arrays, seed, size, **place)
            return lambda step, k: _stacked(reader.batch(step + i) for i in range(k))
        workers = self.config.data.workers
        reader = loader.Streaming(
            self.splits["train"], seed, size, self.crop, workers=workers, **place
        )
        return _Following(reader.iterate)

    def evaluations(
        self, program: Program, data: dict[str, Any] | None
    ) -> Callable[[Any], Scores]:
        """evaluate(variables) -> sums of "val" (where there is one) and "test"."""
        size, place = self.config.data.batch_size, program.seeds.shared
        names = [name for name in ("val", "test") if name in self.splits]
        fixed = {}
        if self.resident:
            for name in names:
                length = len(self.resident[name]["label"])
                batches = loader.eval_indices(length, batch_size=size, **_place())
                fixed[name] = list(map(place, batches))

        def batches(name) -> Iterable[Any]:
            if name in fixed:
                return fixed[name]
            read = loader.eval_batches(
                self.splits[name], batch_size=size, crop=self.crop, **_place()
            )
            return map(place, read)

        def evaluate(variables) -> Scores:
            return {
                name: added(
                    program.evaluate(variables, data and data[name], batch)
                    for batch in batches(name)
                )
                for name in names
            }

        return evaluate


def open_feeds(config: Config, *, progress: Callable[..., Any] | None = None) -> Feeds:
    """Opens the data set of a config, and reads all of it where it is resident."""
    data = config.data
    splits = sources.open_sources(data.name, directory=data.dir, split=data.split)
    resident, shape = None, image_shape(data, splits["train"])
    if is_resident(data, splits):
        resident = {
            name: sources.to_arrays(source, progress=progress)
            for name, source in splits.items()
        }
    preprocess = preprocessing(data, splits["train"], resident, shape)
    return Feeds(config, splits, resident, shape, preprocess)


def image_shape(data: DataConfig, train: sources.Source) -> tuple[int, ...]:
    """[*frames height width channels] of what is fed; ConfigError where they differ."""
    *frames, height, width, channels = train.image_shape
    crop = decode.preset(data.augment)
    if crop.crop != "none":
        height = width = crop.size
    if height is None or width is None:
        raise ConfigError(
            f"data.augment={data.augment!r}: the images of {data.name} differ in size; "
            "use 'imagenet_scale' or 'imagenet_aspect', which crop them"
        )
    return *frames, height, width, channels


def scaled_shape(image_shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """[*frames height width channels] with the shorter side at `size` pixels."""
    *frames, height, width, channels = image_shape
    shorter = min(height, width)
    sides = (round(side * size / shorter) for side in (height, width))
    return *frames, *sides, channels


def is_resident(data: DataConfig, splits: dict[str, sources.Source]) -> bool:
    """Whether the device holds all images: uncropped as they are, and not too many."""
    cropped = decode.preset(data.augment).crop != "none"
    if data.feed == "resident" and cropped:
        raise ConfigError(
            f"data.feed='resident': the images of {data.name} are cropped as they are "
            "read; use 'streaming'"
        )
    if data.feed != "auto" or cropped:
        return data.feed == "resident"
    images = sum(len(source) for source in splits.values())
    return images * math.prod(image_shape(data, splits["train"])) <= RESIDENT_BYTES


def augmentation(data: DataConfig) -> augment.AugmentSpec:
    """The recipe of a config's augmentation, with what the config adds to it."""
    spec = augment.preset(data.augment)
    policy = PolicySpec(data.policy, data.policy_operations, data.policy_magnitude)
    return dataclasses.replace(
        spec,
        normalize=data.normalize or spec.normalize,
        policy=policy,
        cutout=data.cutout,
        erasing=data.erasing,
    )


def mixing(data: DataConfig) -> MixSpec | None:
    """What mixes the images of a batch."""
    if data.mix == "none":
        return None
    return MixSpec(data.mix, data.mix_alpha, data.mix_probability)


def preprocessing(
    data: DataConfig,
    train: sources.Source,
    resident: dict[str, Batch] | None,
    image_shape: tuple[int, ...],
) -> Callable[..., jax.Array]:
    """Augmentation, and normalisation by the statistics of the training images.

    Those of ImageNet where images are cropped as they are read; else streamed images
    are read once ahead of the run, so that a run is the same however it is fed.
    """
    spec = augmentation(data)
    if resident:
        return augment.build(spec, augment.statistics(resident["train"]["image"]))
    if decode.preset(data.augment).crop == "none":
        images = sources.to_arrays(train)["image"]
        return augment.build(spec, augment.statistics(images))
    if spec.normalize == "pixel_mean":
        raise ConfigError(
            f"data.normalize='pixel_mean': the images of data.augment={data.augment!r} "
            "are random crops and have no such mean; use 'channel'"
        )
    if image_shape[-1] != 3:
        raise ConfigError(
            f"data.augment={data.augment!r}: is for images of 3 channels, but those of "
            f"{data.name} have {image_shape[-1]}"
        )
    return augment.build(spec, augment.IMAGENET_STATISTICS)


def added(sums: Iterator[Sums]) -> dict[str, Any]:
    """The sums of all batches, exact in float64; waits for the device once."""
    batches = jax.device_get(list(sums))
    return {k: sum(np.float64(b[k]) for b in batches) for k in batches[0]}


class _Following:
    """A stream that is asked for step after step, and starts anew where it is not."""

    def __init__(self, iterate: Callable[[int], Iterator[Batch]]):
        self._iterate, self._next, self._stream = iterate, None, iter(())

    def __call__(self, step: int, k: int) -> Batch:
        if step != self._next:
            self._stream = self._iterate(step)
        self._next = step + k
        return _stacked(itertools.islice(self._stream, k))


def _stacked(batches: Iterator[Batch]) -> Batch:
    batches = list(batches)
    return {name: np.stack([b[name] for b in batches]) for name in batches[0]}


def _place() -> dict[str, int]:
    return {
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }
