"""Batches as functions of the step: resident, streaming, and for evaluation.

Process k of n holds rows k B/n to (k + 1) B/n of the global batch of B, so that the
union is the same batch whatever n is.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping

import numpy as np

from resnet_jax.data import decode
from resnet_jax.data import sampler as order
from resnet_jax.data.sources.tfds import Source
from resnet_jax.errors import ConfigError, DataError

Batch = dict[str, np.ndarray]
Arrays = Mapping[str, np.ndarray]
# The stream of batches has no end; no run reaches this many.
ENDLESS = 2**40
# Threads that read. With many more than cores they wait for each other: on two cores
# three made a sixth more images than eight.
THREADS = min(8, 1 + (os.cpu_count() or 1))


def local_rows(
    batch_size: int, *, process_index: int = 0, process_count: int = 1
) -> np.ndarray:
    """Rows int32 of the global batch that belong to this process."""
    share, left = divmod(batch_size, process_count)
    if left or not share:
        raise ConfigError(
            f"data.batch_size={batch_size}: is not divisible by"
            f" {process_count} processes"
        )
    return np.arange(share, dtype=np.int32) + np.int32(process_index * share)


@dataclasses.dataclass(frozen=True)
class Resident:
    """The whole set as arrays; a step is told which examples to gather.

    `arrays` stay as they were given: the caller places them on its devices.
    """

    arrays: Mapping
    seed: int
    batch_size: int
    process_index: int = 0
    process_count: int = 1

    def __len__(self) -> int:
        return len(self.arrays["label"])

    @property
    def rows(self) -> np.ndarray:
        """Rows of this process; ConfigError where the batch does not divide."""
        return local_rows(
            self.batch_size,
            process_index=self.process_index,
            process_count=self.process_count,
        )

    def batch(self, step: int) -> Batch:
        """ "index" and "row", int32 [b], of this process's part of the batch."""
        index = order.indices(
            self.seed, step, batch_size=self.batch_size, length=len(self)
        )
        return {"index": index[self.rows], "row": self.rows}


@dataclasses.dataclass(frozen=True)
class Streaming:
    """Examples read, decoded and cropped by grain's threads or processes.

    A batch depends on (seed, step) alone: not on the number of processes, workers or
    threads, nor on where the run was resumed.
    """

    source: Source
    seed: int
    batch_size: int
    crop: decode.CropSpec = dataclasses.field(default_factory=decode.CropSpec)
    workers: int = 0  # processes that decode; 0 decodes on threads of this one
    threads: int | None = None  # of each process; each makes whole batches. None: a few
    process_index: int = 0
    process_count: int = 1

    def __len__(self) -> int:
        return len(self.source)

    def iterate(self, start_step: int) -> Iterator[Batch]:
        """Batches {"image", "label", "mask", "row"} of this process from a step on.

        Without end; the first error ends it, so that no damaged batch is skipped.
        """
        import grain

        rows = local_rows(
            self.batch_size,
            process_index=self.process_index,
            process_count=self.process_count,
        )
        fetch = Fetch(self.source, self.seed, self.batch_size, rows, self.crop)
        # Batched before it is dealt to workers: a worker makes whole batches, and
        # their order does not know how many workers there are.
        stream = grain.MapDataset.range(ENDLESS).map(fetch)[start_step:]
        threads = self.threads or (2 if self.workers else THREADS)
        stream = stream.to_iter_dataset(_reading(threads))
        if self.workers:
            _parse_flags()
            options = grain.MultiprocessingOptions(num_workers=self.workers)
            stream = stream.mp_prefetch(options)
        try:
            yield from stream
        except RuntimeError as error:
            if "terminated unexpectedly" not in str(error):
                raise
            raise DataError(
                f"data.workers={self.workers}: a worker was killed ({error});"
                " often memory ran out: use fewer workers, then resume"
            ) from error


@dataclasses.dataclass(frozen=True, eq=False)
class Fetch:
    """step -> this process's batch; picklable, for worker processes."""

    source: Source
    seed: int
    batch_size: int
    rows: np.ndarray
    crop: decode.CropSpec

    def __call__(self, step: int) -> Batch:
        positions = int(step) * self.batch_size + self.rows.astype(np.int64)
        index = order.at(self.seed, positions, length=len(self.source))
        examples = self.source.__getitems__(index.tolist())
        images = [
            self._crop(example["image"], position)
            for example, position in zip(examples, positions.tolist(), strict=True)
        ]
        return _stacked(images, examples, row=self.rows, mask=np.ones(len(self.rows)))

    def _crop(self, image, position):
        bits = order.bits(self.seed, position, stream=order.DECODE_STREAM)
        return self.crop.train(image, np.random.Generator(bits))


def eval_indices(
    length: int, *, batch_size: int, process_index: int = 0, process_count: int = 1
) -> Iterator[Batch]:
    """ "index", "row" and "mask" of batches that hold 0..length-1 exactly once.

    Every process gets equally many batches; rows past the end repeat the last example
    under mask 0.
    """
    rows = local_rows(
        batch_size, process_index=process_index, process_count=process_count
    )
    for start in range(0, length, batch_size):
        positions = start + rows
        mask = (positions < length).astype(np.float32)
        yield {"index": np.minimum(positions, length - 1), "row": rows, "mask": mask}


def eval_batches(
    data: Source | Arrays,
    *,
    batch_size: int,
    crop: decode.CropSpec | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Batch]:
    """Every example of a source or of whole arrays exactly once, the rest masked."""
    length = len(data) if isinstance(data, Source) else len(data["label"])
    batches = eval_indices(
        length,
        batch_size=batch_size,
        process_index=process_index,
        process_count=process_count,
    )
    if isinstance(data, Source):
        yield from _read(data, list(batches), crop or decode.CropSpec())
        return
    for batch in batches:
        index = batch.pop("index")
        yield {"image": data["image"][index], "label": data["label"][index], **batch}


def _read(source, batches, crop):
    """Batches of a source, read and cropped ahead on threads."""
    import grain

    def fetch(batch):
        examples = source.__getitems__(batch["index"].tolist())
        images = [crop.eval(example["image"]) for example in examples]
        return _stacked(images, examples, row=batch["row"], mask=batch["mask"])

    return grain.MapDataset.source(batches).map(fetch).to_iter_dataset(_reading())


def _stacked(images, examples, *, row, mask) -> Batch:
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ConfigError(
            f"data.augment: the images differ in size, {sorted(shapes)[:2]};"
            " use 'imagenet_scale' or 'imagenet_aspect', which crop them"
        )
    label = np.array([example["label"] for example in examples], np.int32)
    return {
        "image": np.stack(images),
        "label": label,
        "mask": mask.astype(np.float32),
        "row": row,
    }


def _reading(threads: int = THREADS):
    import grain

    # Elements are whole batches: no more of them ahead than are being made.
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)


def _parse_flags():
    """Grain's worker processes read absl flags, which only `absl.app.run` parses."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
