"""Images per second that an input pipeline reads, decodes and crops to 224, by itself.

    python benchmarks/feed.py ours|torch WORKERS FOLDER BATCH STEPS

measures one turn in a new process, so that nothing is read ahead between turns. All
pipelines read the same files in random order and return uint8: a random box of random
aspect, resized bicubically (fb.resnet.torch). With 0 workers, threads of the process
decode.
"""

import importlib
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

from cases import Case, Way
from work import Sample, printed_number

FILES = "files"
WARM_UP = 16  # batches that are not timed: twice as many as any pipeline prefetches


class Feed:
    """One input pipeline, on synthetic photographs made in the folder."""

    def __init__(self, case: Case, way: Way, folder: str):
        import synthetic  # here, not in the timed processes

        if way.by == "torch":
            importlib.import_module("torchvision")  # the error becomes the row's status
        synthetic.prepare(folder, synthetic.Photographs)
        files = pathlib.Path(folder, FILES, "one class")
        files.mkdir(parents=True)
        sizes = [
            (files / f"{number}.jpg").write_bytes(image)
            for number, image in enumerate(synthetic.photographs())
        ]
        mean = round(statistics.mean(sizes))
        self.facts = {"photographs": len(sizes), "file_bytes": mean}
        workers = os.cpu_count() if "processes" in way.fields else 0
        self._command = [sys.executable, __file__, way.by, str(workers), folder]
        self._command.append(str(case.batch))

    def turn(self, steps: int) -> Sample:
        """Images per second, in all and per core."""
        rate = printed_number([*self._command, str(steps)])
        return {"images_s": rate, "images_core_s": rate / os.cpu_count()}

    def device_peak(self) -> None:
        """No device is used."""


def ours(folder: str, batch: int, *, workers: int) -> Iterator[Any]:
    """Batches of resnet_jax's streaming pipeline."""
    from resnet_jax.data import crops
    from resnet_jax.data.sampler import Sampler
    from resnet_jax.data.sources.splits import open_splits
    from resnet_jax.data.streaming import Streaming

    train = open_splits("photographs", directory=folder)["train"]
    sampler, crop = Sampler(0, batch, len(train)), crops.preset("imagenet_aspect")
    return Streaming(train, sampler, crop, workers=workers).iterate(0)


def torchvision(folder: str, batch: int, *, workers: int) -> Iterator[Any]:
    """Batches of torchvision's data set and torch's loader."""
    from torch.utils.data import DataLoader, RandomSampler
    from torchvision import datasets, transforms

    crop = transforms.RandomResizedCrop(
        224, interpolation=transforms.InterpolationMode.BICUBIC
    )
    pixels = transforms.Compose([crop, transforms.PILToTensor()])
    data = datasets.ImageFolder(pathlib.Path(folder, FILES), pixels)
    endless = RandomSampler(data, replacement=True, num_samples=2**30)
    return iter(DataLoader(data, batch, sampler=endless, num_workers=workers))


def main():
    by, workers, folder, batch, steps = sys.argv[1:]
    make, batch = {"ours": ours, "torch": torchvision}[by], int(batch)
    batches = make(folder, batch, workers=int(workers))
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    for _ in range(int(steps)):
        next(batches)
    print(batch * int(steps) / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
