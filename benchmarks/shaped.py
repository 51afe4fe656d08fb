"""A data set of CIFAR's shape that is made on the spot: random images and labels."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax.data import folders

EXAMPLES = {"train": 5_000, "test": 500}
NAME = "cifar_shaped"


class CifarShaped(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(shape=(32, 32, 3), encoding_format="png")
        label = tfds.features.ClassLabel(num_classes=10)
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(n) for name, n in EXAMPLES.items()}

    def _generate_examples(self, n):
        rng = np.random.default_rng(n)
        for i in range(n):
            file = io.BytesIO()
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(file, format="PNG")
            file.seek(0)
            yield i, {"image": file, "label": int(rng.integers(10))}


def prepare(directory: str) -> None:
    """Writes the set where `data.dir` will look for it."""
    folders.prepare(CifarShaped(data_dir=directory))
