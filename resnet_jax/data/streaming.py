"""Streamed batches: read, decoded and cropped by grain's threads or processes."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float32, Int32

from resnet_jax.data import sampler
from resnet_jax.data.batch import Batch, stacked
from resnet_jax.data.crops import Crop, CropSpec
from resnet_jax.data.decode import Pixels
from resnet_jax.data.sampler import WHOLE, Sampler, Share
from resnet_jax.data.sources.source import Example, Source
from resnet_jax.errors import ConfigError, DataError

STEPS = 2**40  # more than any run has: training batches never end
# Reading threads. More threads than cores wait for each other: on two cores, three
# threads read a sixth more images per second than eight.
THREADS = min(8, 1 + (os.cpu_count() or 1))
AS_STORED = CropSpec()


@dataclasses.dataclass(frozen=True)
class Streaming:
    """Training batches of a source that does not fit into device memory.

    A batch depends on (seed, step) alone, not on the number of processes, workers or
    threads, nor on the step at which the run was resumed.
    """

    source: Source
    sampler: Sampler
    crop: CropSpec = AS_STORED
    workers: int = 0  # processes that decode; 0: threads of this process
    threads: int | None = None  # per process; each makes whole batches

    def iterate(self, start_step: int) -> Iterator[Batch]:
        """Yield the batches of all steps from `start_step` on, without end.

        The first error ends it, so that no damaged batch is skipped.
        """
        import grain
        from absl import flags

        # Each worker makes whole batches, so that their order does not depend on the
        # number of workers.
        batches = grain.MapDataset.range(STEPS).map(self.batch)[start_step:]
        threads = self.threads or (2 if self.workers else THREADS)
        batches = batches.to_iter_dataset(_read_options(threads))
        if self.workers:
            flags.FLAGS.mark_as_parsed()  # grain's workers read them outside `absl.app`
            options = grain.MultiprocessingOptions(num_workers=self.workers)
            batches = batches.mp_prefetch(options)
        try:
            yield from batches
        except RuntimeError as error:
            if "terminated unexpectedly" not in str(error):
                raise
            raise DataError(
                f"data.workers={self.workers}: a worker was killed ({error});"
                " often memory ran out: use fewer workers, then resume"
            ) from error

    def batch(self, step: int) -> Batch:
        """Read "image", "label", "mask" and "row" of one batch."""
        batch, positions = self.sampler.batch(step), self.sampler.positions(step)
        examples = self.source.__getitems__(batch["index"].tolist())
        images = [
            self._crop(example["image"], position)
            for example, position in zip(examples, positions.tolist(), strict=True)
        ]
        mask = np.ones(len(images), np.float32)
        return _collated(images, examples, row=batch["row"], mask=mask)

    def _crop(self, image: Pixels, position: int) -> Crop:
        seed, stream = self.sampler.seed, sampler.CROP_STREAM
        bits = sampler.random_bits(seed, position, stream=stream)
        return self.crop.train(image, np.random.Generator(bits))


class SeekingBatches:
    """Reader of streamed batches that re-seeks when steps are not consecutive."""

    def __init__(self, iterate: Callable[[int], Iterator[Batch]]):
        self._iterate = iterate
        self._batches: Iterator[Batch] = iter(())
        self._next: int | None = None

    def __call__(self, step: int, k: int) -> Batch:
        """Read the k batches from `step` on, stacked [k b ...]."""
        if step != self._next:
            self._batches = self._iterate(step)
        self._next = step + k
        return stacked(itertools.islice(self._batches, k))


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    crop: CropSpec = AS_STORED,
    share: Share = WHOLE,
) -> Iterator[Batch]:
    """Yield batches that hold every example of a source exactly once, centre-cropped.

    Rows past the end are repeats with mask 0.
    """
    import grain

    def fetch(batch):
        examples = source.__getitems__(batch["index"].tolist())
        images = [crop.eval(example["image"]) for example in examples]
        return _collated(images, examples, row=batch["row"], mask=batch["mask"])

    batches = sampler.eval_batches(len(source), batch_size=batch_size, share=share)
    dataset = grain.MapDataset.source(list(batches)).map(fetch)
    yield from dataset.to_iter_dataset(_read_options())


def _collated(
    images: Sequence[Crop],
    examples: Sequence[Example],
    *,
    row: Int32[np.ndarray, " b"],
    mask: Float32[np.ndarray, " b"],
) -> Batch:
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ConfigError(
            f"data.augment: the images differ in size, {sorted(shapes)[:2]};"
            " use 'imagenet_scale' or 'imagenet_aspect', which crop them"
        )
    label = np.array([example["label"] for example in examples], np.int32)
    return {"image": np.stack(images), "label": label, "mask": mask, "row": row}


def _read_options(threads: int = THREADS):
    import grain

    # Elements are whole batches: buffer no more of them than threads make at a time.
    return grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
