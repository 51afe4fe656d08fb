"""Synthetic data sets: images of CIFAR's shape, and of ImageNet's usual size."""

import functools
import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax.data.sources import folders

EXAMPLES = {"train": 5_000, "test": 500}
NAME = "cifar_shaped"


class Encoded(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Encoded images with ten classes."""

    VERSION = tfds.core.Version("1.0.0")
    SHAPE: tuple[int | None, int | None, int]
    FORMAT: str

    def _info(self):
        image = tfds.features.Image(shape=self.SHAPE, encoding_format=self.FORMAT)
        label = tfds.features.ClassLabel(num_classes=10)
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _generate_examples(self, images):
        for i, image in enumerate(images):
            yield i, {"image": io.BytesIO(image), "label": i % 10}


class CifarShaped(Encoded, skip_registration=True):
    """Noise of 32x32 pixels."""

    SHAPE, FORMAT = (32, 32, 3), "png"

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(noise(n)) for name, n in EXAMPLES.items()}


class Photographs(Encoded, skip_registration=True):
    """Synthetic photographs, equal in both splits."""

    SHAPE, FORMAT = (None, None, 3), "jpeg"

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(photographs()) for name in EXAMPLES}


def noise(n: int) -> Iterator[bytes]:
    """n PNG files of random pixels."""
    rng = np.random.default_rng(n)
    for _ in range(n):
        yield _encoded(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), "PNG")


@functools.cache
def photographs(n: int = 128) -> list[bytes]:
    """n JPEG files of noise with equal power at all scales, as photographs have.

    Decoding them costs about as much as decoding ImageNet, whose training files have
    108 kB on average (ILSVRC2012: 138 GB, 1,281,167 files); these have 104 kB.
    """
    rng, files = np.random.default_rng(0), []
    for i in range(n):
        width, height = (500, 375) if i % 4 else (375, 500)
        image = np.zeros((height, width, 3))
        for octave in range(9):
            scale = 2**octave
            shape = (-(-height // scale), -(-width // scale), 3)
            coarse = rng.normal(128, 16, shape).clip(0, 255).astype(np.uint8)
            fine = Image.fromarray(coarse).resize((width, height), Image.BILINEAR)
            image += np.asarray(fine, float) - 128
        pixels = (image + 128).clip(0, 255).astype(np.uint8)
        files.append(_encoded(pixels, "JPEG", quality=90))
    return files


def _encoded(pixels: np.ndarray, form: str, **options: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=form, **options)
    return file.getvalue()


def prepare(directory: str, builder: type[Encoded] = CifarShaped) -> None:
    """Write the data set into the directory, to be named in `data.dir`."""
    folders.prepare(builder(data_dir=directory))
