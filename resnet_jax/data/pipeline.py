"""Input pipeline of a config: the batches of every step and of every evaluation."""

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
from resnet_jax.data.preprocessing import Shape, image_shape, preprocessing, scaled
from resnet_jax.data.sampler import WHOLE, Sampler, Share
from resnet_jax.data.sources.source import Progress, Source, to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.errors import ConfigError

Placed = dict[str, np.ndarray] | dict[str, jax.Array]
Place = Callable[[Batch], Placed]
Reader = Callable[[int, int], Batch]  # (step, k) -> k batches of one seed, [k b ...]
RESIDENT_BYTES = 2**31  # larger sets are streamed unless a config says otherwise


def on_host(batch: Batch) -> Batch:
    """Leave a batch where it is: the default placement."""
    return batch


def process_share() -> Share:
    """Share of every global batch that this process of jax's holds."""
    return Share(jax.process_index(), jax.process_count())


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """Splits of a data set, resident on the devices or streamed, as batches.

    Batches are as in `batch.py`: of resident splits with "index", and the arrays are
    the caller's to put on its devices; of streamed splits with "image" and "label".
    `place` is called on each to put it where a program wants it.
    """

    config: Config
    splits: Mapping[str, Source]
    resident: Mapping[str, Arrays] | None  # all splits on the host; None: streamed
    image_shape: Shape
    preprocess: Preprocess
    share: Share = dataclasses.field(default_factory=process_share)

    def preprocess_at(self, size: int | None) -> Preprocess:
        """Preprocess training images to `size` pixels; None: at their own size."""
        return self.preprocess if size is None else scaled(self.preprocess, size)

    def train_batches(self, place: Place = on_host) -> "TrainBatches":
        """Open the training batches of all seeds of the config."""
        return TrainBatches(self._train_readers(self.share), place)

    def first_batch(self) -> Batch:
        """Read the whole global batch of the first step, on the host."""
        batches = TrainBatches(self._train_readers(WHOLE), on_host)
        return self.gathered(batches.read(0))

    def eval_batches(self, split: str, place: Place = on_host) -> Iterable[Placed]:
        """Batches that hold every example of a split once; may be iterated again.

        Rows past the end are repeats under mask 0.
        """
        size = self.config.data.batch_size
        read = functools.partial(self._eval_reader, split, size, self.share)
        if self.resident:
            return [place(batch) for batch in read()]
        return _Repeatable(lambda: map(place, read()))

    def examples(self, split: str, *, batch_size: int | None = None) -> Iterator[Batch]:
        """Yield whole batches on the host that hold every example of a split once."""
        size = batch_size or self.config.data.batch_size
        for batch in self._eval_reader(split, size, WHOLE):
            yield self.gathered(batch, split)

    def gathered(self, batch: Batch, split: str = "train") -> Batch:
        """Gather the examples of a resident split; a streamed batch has its own."""
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
        samplers = [
            Sampler(seed, data.batch_size, length, share) for seed in self.config.seeds
        ]
        if self.resident:
            return tuple(order.batches for order in samplers)
        source, crop, workers = self.splits["train"], self._crop, data.workers
        streams = [
            streaming.Streaming(source, s, crop, workers=workers) for s in samplers
        ]
        return tuple(streaming.SeekingBatches(stream.iterate) for stream in streams)

    def _eval_reader(self, split: str, size: int, share: Share) -> Iterator[Batch]:
        if self.resident:
            length = self._length(split)
            return sampler.eval_batches(length, batch_size=size, share=share)
        source, crop = self.splits[split], self._crop
        return streaming.eval_batches(source, batch_size=size, crop=crop, share=share)


@dataclasses.dataclass(frozen=True)
class TrainBatches:
    """Training batches by step: `batches(step, k)` or, of one step, `batches(step)`.

    The k batches from a step on are stacked, [k b ...]; those of several seeds, each
    in its own order, have a leading axis, [seeds k b ...]. Of one step there is no k.
    """

    readers: tuple[Reader, ...]  # one per seed
    place: Place

    def __call__(self, step: int, k: int | None = None) -> Placed:
        return self.place(self.read(step, k))

    def read(self, step: int, k: int | None = None) -> Batch:
        """Read the same batches without placing them."""
        several = len(self.readers) > 1
        batches = [reader(step, 1 if k is None else k) for reader in self.readers]
        batch = stacked(batches) if several else batches[0]
        if k is None:
            return {name: x.take(0, axis=int(several)) for name, x in batch.items()}
        return batch


@dataclasses.dataclass(frozen=True)
class _Repeatable:
    """Iterable that reads its batches again each time it is iterated."""

    read: Callable[[], Iterator[Placed]]

    def __iter__(self) -> Iterator[Placed]:
        return self.read()


def open_pipeline(config: Config, *, progress: Progress | None = None) -> Pipeline:
    """Open the data set of a config, and read all of it where it is resident."""
    data = config.data
    splits = open_splits(data.name, directory=data.dir, split=data.split)
    resident, shape = None, image_shape(data, splits["train"])
    if is_resident(data, splits):
        resident = {
            name: to_arrays(source, progress=progress)
            for name, source in splits.items()
        }
    preprocess = preprocessing(data, splits["train"], resident, shape)
    return Pipeline(config, splits, resident, shape, preprocess)


def is_resident(data: DataConfig, splits: Mapping[str, Source]) -> bool:
    """Decide whether devices hold all images: not cropped as read, not too many."""
    cropped = crops.preset(data.augment).crop != "none"
    if data.feed == "resident" and cropped:
        raise ConfigError(
            f"data.feed='resident': the images of {data.name} are cropped as they are "
            "read; use 'streaming'"
        )
    if data.feed != "auto" or cropped:
        return data.feed == "resident"
    images = sum(len(source) for source in splits.values())
    return images * math.prod(image_shape(data, splits["train"])) <= RESIDENT_BYTES
