"""Images a second that a loader reads, decodes and crops to 224, nothing else at work.

    python benchmarks/feed.py ours|torch WORKERS FOLDER BATCH STEPS

is a turn: a process of its own, so that nothing is read ahead while others have theirs.
All read the same files in random order, and hand out uint8: a random part, of random
aspect, resized bicubically (fb.resnet.torch). 0 workers are threads of the process.
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
from work import Sample, figure_of

FILES = "files"
WARM = 16  # batches that are not counted: twice what any has in the making


class Feed:
    """A loader, on photographs that are made in the folder."""

    def __init__(self, case: Case, way: Way, folder: str):
        import shaped  # not in the processes that are timed

        if way.by == "torch":
            importlib.import_module("torchvision")  # or it is a row that says so
        shaped.prepare(folder, shaped.Photographs)
        files = pathlib.Path(folder, FILES, "one class")
        files.mkdir(parents=True)
        sizes = [
            (files / f"{number}.jpg").write_bytes(image)
            for number, image in enumerate(shaped.photographs())
        ]
        mean = round(statistics.mean(sizes))
        self.facts = {"photographs": len(sizes), "file_bytes": mean}
        workers = os.cpu_count() if "processes" in way.fields else 0
        self._command = [sys.executable, __file__, way.by, str(workers), folder]
        self._command.append(str(case.batch))

    def turn(self, steps: int) -> Sample:
        rate = figure_of([*self._command, str(steps)])
        return {"images_s": rate, "images_core_s": rate / os.cpu_count()}

    def device_peak(self) -> None:
        """There is no device in it."""


def ours(folder: str, batch: int, *, workers: int) -> Iterator[Any]:
    from resnet_jax.data import crops
    from resnet_jax.data.sampler import Sampler
    from resnet_jax.data.sources.splits import open_splits
    from resnet_jax.data.streaming import Streaming

    train = open_splits("photographs", directory=folder)["train"]
    order, crop = Sampler(0, batch, len(train)), crops.preset("imagenet_aspect")
    return Streaming(train, order, crop, workers=workers).iterate(0)


def torchvision(folder: str, batch: int, *, workers: int) -> Iterator[Any]:
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
    for _ in range(WARM):
        next(batches)
    start = time.perf_counter()
    for _ in range(int(steps)):
        next(batches)
    print(batch * int(steps) / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
