"""Scikit-learn's handwritten digits, the default data set, as a tfds data set.

1,797 real images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI "Optical Recognition of
Handwritten Digits", its test set), which scikit-learn contains.
"""

import io
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Load images uint8 [1797 8 8] and labels; ink 0..16 is scaled to 0..255."""
    from sklearn.datasets import load_digits

    ink, labels = load_digits(return_X_y=True)
    images = np.asarray(ink, np.float64).reshape(-1, 8, 8)
    return np.rint(images * (255 / 16)).astype(np.uint8), np.asarray(labels)


def held_out(labels: np.ndarray) -> np.ndarray:
    """Choose the indices of the 360 test images: every fifth, class by class."""
    return np.argsort(labels, kind="stable")[::5]


class Digits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """tfds builder of the digits: 1,437 train and 360 test images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        label = tfds.features.ClassLabel(num_classes=10)
        return self._described(
            label,
            "scikit-learn's handwritten digits: 1,437 train and 360 test images"
            " of 8x8x1, 10 classes; the test set is every fifth image counted"
            " through the classes; ink 0..16 is stored as 0..255.",
        )

    def _described(self, label, description: str):
        image = tfds.features.Image(shape=(8, 8, 1), encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description=description,
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


class _HalfOfDigits(Digits, skip_registration=True):
    """tfds builder of the digits of five classes, split as all digits are."""

    FIRST: int  # of the five

    def _info(self):
        names = [str(digit) for digit in range(self.FIRST, self.FIRST + 5)]
        return self._described(
            tfds.features.ClassLabel(names=names),
            f"scikit-learn's handwritten digits {names[0]} to {names[-1]}, 8x8x1,"
            " split as the ten digits are.",
        )

    def _generate_examples(self, images, labels, indices):
        labels = labels - self.FIRST
        own = (labels >= 0) & (labels < 5)
        yield from super()._generate_examples(images, labels, indices[own[indices]])


class DigitsLow(_HalfOfDigits, skip_registration=True):
    """Digits 0 to 4."""

    FIRST = 0


class DigitsHigh(_HalfOfDigits, skip_registration=True):
    """Digits 5 to 9."""

    FIRST = 5


def png(image: np.ndarray) -> io.BytesIO:
    """Encode an image as PNG: lossless, and tfds stores it without TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    file.seek(0)
    return file
