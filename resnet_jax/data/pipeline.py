"""Input pipeline of a config: batches of training steps and of evaluations."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import numpy as np

from resnet_jax.config.schema import Config, DataConfig
from resnet_jax.data import crops, sampler, streaming
from resnet_jax.data.augment.standard import Preprocess
from resnet_jax.data.batch import Arrays, Batch, stacked
from resnet_jax.data.inputs import Inputs, inputs_of
from resnet_jax.data.preprocessing import Shape, image_shape, scaled
from resnet_jax.data.sampler import WHOLE, Sampler, Share
from resnet_jax.data.sources.source import Progress, Source, to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.errors import ConfigError

Placed = dict[str, np.ndarray] | dict[str, jax.Array]
Place = Callable[[Batch], Placed]
Reader = Callable[[int, int], Batch]  # (step, k) -> k batches of one seed, [k b ...]
RESIDENT_BYTES = 2**31  # larger sets are streamed unless a config says otherwise


def on_host(batch: Batch) -> Batch:
    """Leave a batch on the host: the default placement."""
    return batch


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Batches of the splits of a data set, resident on the devices or streamed.

    Batches are as in `batch.py`. Those of resident splits hold "index", and the caller
    puts `resident` on its devices; those of streamed splits hold "image" and "label".
    `place` moves each batch to its devices.
    """

    config: Config
    splits: Mapping[str, Source]
    resident: Mapping[str, Arrays] | None  # all splits on the host; None: streamed
    inputs: Inputs
    share: Share = dataclasses.field(
        default_factory=lambda: Share(jax.process_index(), jax.process_count())
    )

    @property
    def image_shape(self) -> Shape:
        """Shape of the net's input, without the axis of the batch."""
        return self.inputs.shape

    @property
    def preprocess(self) -> Preprocess:
        """Augmentation, of training images, and normalisation."""
        return self.inputs.preprocess

    def preprocess_at(self, size: int | None) -> Preprocess:
        """Preprocessing of training images at `size` pixels; None: unscaled."""
        return self.preprocess if size is None else scaled(self.preprocess, size)

    def train_batches(self, place: Place = on_host) -> "TrainBatches":
        """Open the training batches of all seeds of the config."""
        return TrainBatches(self._train_readers(self.share), place)

    def first_batch(self) -> Batch:
        """Read the whole global batch of the first step, on the host."""
        batches = TrainBatches(self._train_readers(WHOLE), on_host)
        return self.gathered(batches.read(0))

    def eval_batches(self, split: str, place: Place = on_host) -> Iterable[Placed]:
        """Batches that hold every example of a split once; may be iterated repeatedly.

        Rows past the end are repeats with mask 0.
        """
        size = self.config.data.batch_size
        read = functools.partial(self._eval_reader, split, size, self.share)
        if self.resident:
            return [place(batch) for batch in read()]
        return _Repeatable(lambda: map(place, read()))

    def examples(self, split: str, *, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield global batches on the host that hold every example of a split once."""
        size = batch_size or self.config.data.batch_size
        for batch in self._eval_reader(split, size, WHOLE):
            yield self.gathered(batch, split)

    def gathered(self, batch: Batch, split: str = "train") -> Batch:
        """Gather the examples of a resident split by index; streamed ones are there."""
        if self.resident is None:
            return batch
        arrays, index = self.resident[split], batch["index"]
        found = {"mask": np.ones(index.shape, np.float32)} | batch
        del found["index"]
        return found | {name: array[index] for name, array in arrays.items()}

    @property
    def _crop(self) -> crops.CropSpec:
        return crops.preset(self.config.data.augment)

    def _length(self, split: str) -> int:
        if self.resident:
            return len(self.resident[split]["label"])
        return len(self.splits[split])

    def _train_readers(self, share: Share) -> tuple[Reader, ...]:
        """Open a reader of the training batches for each seed of the config."""
        data, length = self.config.data, self._length("train")

        def reader(seed: int) -> Reader:
            order = Sampler(seed, data.batch_size, length, share)
            if self.resident:
                return order.batches
            source, workers = self.splits["train"], data.workers
            stream = streaming.Streaming(source, order, self._crop, workers=workers)
            return streaming.SeekingBatches(stream.iterate)

        return tuple(reader(seed) for seed in self.config.seeds)

    def _eval_reader(self, split: str, size: int, share: Share) -> Iterator[Batch]:
        if self.resident:
            length = self._length(split)
            return sampler.eval_batches(length, batch_size=size, share=share)
        source, crop = self.splits[split], self._crop
        return streaming.eval_batches(source, batch_size=size, crop=crop, share=share)


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """Training batches by step: `batches(step, k)`, or `batches(step)` of one step.

    The k batches from a step on are stacked, [k b ...], and those of several seeds,
    each in its own order, [seeds k b ...]. One step has no axis k.
    """

    readers: tuple[Reader, ...]  # one per seed
    place: Place

    def __call__(self, step: int, k: int | None = None) -> Placed:
        return self.place(self.read(step, k))

    def read(self, step: int, k: int | None = None) -> Batch:
        """Read the batches on the host, without placing them."""
        several = len(self.readers) > 1
        batches = [reader(step, 1 if k is None else k) for reader in self.readers]
        batch = stacked(batches) if several else batches[0]
        if k is None:
            return {name: x.take(0, axis=int(several)) for name, x in batch.items()}
        return batch


@dataclasses.dataclass(frozen=True)
class _Repeatable:
    """Iterable that reads its batches anew in every iteration."""

    read: Callable[[], Iterator[Placed]]

    def __iter__(self) -> Iterator[Placed]:
        return self.read()


def open_pipeline(config: Config, *, progress: Progress | None = None) -> Pipeline:
    """Open the data set of a config; read it whole where it is to be resident."""
    data = config.data
    splits = open_splits(
        data.name,
        directory=data.dir,
        split=data.split,
        test_split=data.test_split,
        progress=progress,
    )
    resident, shape = None, image_shape(data, splits["train"])
    if is_resident(data, splits):
        resident = {
            name: to_arrays(source, progress=progress)
            for name, source in splits.items()
        }
    inputs = inputs_of(data, splits["train"], resident, shape)
    return Pipeline(config, splits, resident, inputs)


def is_resident(data: DataConfig, splits: Mapping[str, Source]) -> bool:
    """Decide whether devices hold all images, which are few and read uncropped."""
    cropped = crops.preset(data.augment).crop != "none"
    if data.feed == "resident" and cropped:
        raise ConfigError(
            f"data.feed='resident': the images of {data.name} are cropped as they are "
            "read; use 'streaming'"
        )
    if data.feed == "resident" and data.workers:
        raise ConfigError(
            f"data.workers={data.workers}: decode streamed images, but "
            "data.feed='resident'; leave one of them out"
        )
    if data.feed != "auto" or cropped:
        return data.feed == "resident"
    images, train = sum(len(source) for source in splits.values()), splits["train"]
    size = math.prod(image_shape(data, train)) * train.dtype.itemsize
    return images * size <= RESIDENT_BYTES
