"""CIFAR-10 and CIFAR-100 as tfds data sets, prepared without TensorFlow.

The builders read the original binary archives (Krizhevsky 2009). Names, versions, keys
and features are those of tfds's builders, so that record order and 45k/5k splits do not
depend on which builder prepared the folder.
"""

import dataclasses
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from resnet_jax.data.sources import archive, digits, folders

PIXELS = 32 * 32 * 3


@dataclasses.dataclass(frozen=True)
class Layout:
    """Files of an archive; a record holds label bytes, then R, G and B planes."""

    train: tuple[str, ...]
    test: str
    train_images: int  # in each train file
    test_images: int
    labels: tuple[tuple[str, str, int], ...]  # feature, file of class names, classes

    def sizes(self) -> dict[str, int]:
        """Compute the size of every file in bytes; 0 for class names, of any length."""
        record = len(self.labels) + PIXELS
        return {
            **{name: record * self.train_images for name in self.train},
            self.test: record * self.test_images,
            **{names: 0 for _, names, _ in self.labels},
        }


LAYOUTS = {
    "cifar10": Layout(
        train=tuple(f"cifar-10-batches-bin/data_batch_{i}.bin" for i in range(1, 6)),
        test="cifar-10-batches-bin/test_batch.bin",
        train_images=10_000,
        test_images=10_000,
        labels=(("label", "cifar-10-batches-bin/batches.meta.txt", 10),),
    ),
    "cifar100": Layout(
        train=("cifar-100-binary/train.bin",),
        test="cifar-100-binary/test.bin",
        train_images=50_000,
        test_images=10_000,
        labels=(
            ("coarse_label", "cifar-100-binary/coarse_label_names.txt", 20),
            ("label", "cifar-100-binary/fine_label_names.txt", 100),
        ),
    ),
}
# Sizes and checksums as in tfds's url_checksums/cifar10.txt and cifar100.txt.
ARCHIVES = {
    "cifar10": archive.Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        size=170_052_171,
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    "cifar100": archive.Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        size=168_513_733,
        sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
}


def prepare(name: str, *, directory: pathlib.Path) -> pathlib.Path:
    """Prepare a data set from its archive, found locally or downloaded."""
    path = ARCHIVES[name].obtain(directory)
    builder = {"cifar10": Cifar10, "cifar100": Cifar100}[name]
    return folders.prepare(builder(data_dir=directory, archive_path=path))


class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """tfds builder of CIFAR-10, from cifar-10-binary.tar.gz."""

    VERSION = tfds.core.Version("3.0.2")

    def __init__(self, *, archive_path: pathlib.Path, **kwargs):
        self.archive_path = archive_path
        super().__init__(**kwargs)

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.name]

    def _info(self):
        classes = {
            feature: tfds.features.ClassLabel(num_classes=n)
            for feature, _, n in self.layout.labels
        }
        image = tfds.features.Image(shape=(32, 32, 3), encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{self.name}, from the original binary archive (lossless).",
            features=tfds.features.FeaturesDict(
                {"id": tfds.features.Text(), "image": image, **classes}
            ),
            supervised_keys=("image", "label"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        )

    def _split_generators(self, dl_manager):
        layout = self.layout
        files = dict(archive.members(self.archive_path, layout.sizes()))
        features = self.info.features
        assert isinstance(features, tfds.features.FeaturesDict)
        for feature, names, _ in layout.labels:
            label = features[feature]
            assert isinstance(label, tfds.features.ClassLabel)
            label.names = files[names].decode().split()
        train = b"".join(files[name] for name in layout.train)
        return {
            "train": self._generate_examples("train", train),
            "test": self._generate_examples("test", files[layout.test]),
        }

    def _generate_examples(self, split, data) -> Iterator[tuple[int, dict]]:
        keys = [feature for feature, _, _ in self.layout.labels]
        records = np.frombuffer(data, np.uint8).reshape(-1, len(keys) + PIXELS)
        for i, record in enumerate(records):
            labels, planes = np.split(record, [len(keys)])
            image = np.ascontiguousarray(planes.reshape(3, 32, 32).transpose(1, 2, 0))
            example = {"id": f"{split}_{i:05d}", "image": digits.png(image)}
            yield i, example | dict(zip(keys, labels.tolist(), strict=True))


class Cifar100(Cifar10, skip_registration=True):
    """tfds builder of CIFAR-100, from cifar-100-binary.tar.gz, with coarse labels."""
