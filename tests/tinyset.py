"""A few random images, prepared as a tfds data set for the tests of the data tower."""

import io
import json

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax.data.sources import folders


def prepare(
    directory,
    *,
    examples,
    shape=(8, 8, 3),
    num_classes=10,
    encoding="png",
    dtype="uint8",
):
    """Prepare {"train": [(image, label), ...], ...} under the name `tiny`.

    An image is an array, or the bytes of a file as they shall be stored.
    """

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            image = tfds.features.Image(
                shape=shape, encoding_format=encoding, dtype=np.dtype(dtype)
            )
            label = tfds.features.ClassLabel(num_classes=num_classes)
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict({"image": image, "label": label}),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {k: self._generate_examples(v) for k, v in examples.items()}

        def _generate_examples(self, pairs):
            for i, (image, label) in enumerate(pairs):
                data = image if isinstance(image, bytes) else encoded(image, encoding)
                yield i, {"image": io.BytesIO(data), "label": label}

    return folders.prepare(Tiny(data_dir=directory))


def encoded(image, encoding="png"):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, format=encoding.upper())
    return file.getvalue()


def deep(image):
    """The PNG of a grey image [h w 1] of uint16 or float32, as tfds stores it."""
    stored = image.view(np.uint8) if image.dtype == np.float32 else image
    return encoded(stored)


def images(n, shape=(8, 8, 3), seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8)


def pairs(n, **kwargs):
    return [(image, i % 10) for i, image in enumerate(images(n, **kwargs))]


def edit(folder, change, *, file="dataset_info.json"):
    """Rewrite a JSON file of a prepared folder."""
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))


def rows(arrays):
    """The examples of whole arrays as a set, whatever their order."""
    images, labels = arrays["image"], arrays["label"]
    return {(x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True)}
