"""The embedded data set: scikit-learn's handwritten digits, as a tfds data set.

1,797 real images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI "Optical Recognition of
Handwritten Digits", its test set), which come with scikit-learn: no network is needed.
"""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

VERSION = "1.0.0"


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [1797 8 8] and labels; the 17 ink levels 0..16 become 0..255.

    This is the one place of the scaling: level v is stored as round(255 v / 16).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target


def held_out(labels: np.ndarray) -> np.ndarray:
    """360 of 1,797: every fifth image, counted through the classes one by one."""
    return np.argsort(labels, kind="stable")[::5]


class Digits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Scikit-learn's handwritten digits: 1,437 train and 360 test images."""

    VERSION = tfds.core.Version(VERSION)

    def _info(self):
        image = tfds.features.Image(shape=(8, 8, 1), encoding_format="png")
        label = tfds.features.ClassLabel(num_classes=10)
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "scikit-learn's handwritten digits: 1,437 train and 360 test images"
                " of 8x8x1, 10 classes; the test set is every fifth image counted"
                " through the classes; ink 0..16 is stored as 0..255."
            ),
            features=tfds.features.FeaturesDict({"image": image, "label": label}),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        images, labels = arrays()
        test = np.zeros(len(labels), bool)
        test[held_out(labels)] = True
        return {
            "train": self._generate_examples(images, labels, np.flatnonzero(~test)),
            "test": self._generate_examples(images, labels, np.flatnonzero(test)),
        }

    def _generate_examples(self, images, labels, indices) -> Iterator[tuple[int, dict]]:
        for i in indices.tolist():
            yield i, {"image": png(images[i]), "label": int(labels[i])}


def png(image: np.ndarray) -> io.BytesIO:
    """An image as a PNG file: lossless, and tfds can store it without TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    file.seek(0)
    return file
