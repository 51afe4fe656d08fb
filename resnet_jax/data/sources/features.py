"""Features of a tfds data set: its image and its label, as they are declared."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import numpy as np

from resnet_jax.data import decode
from resnet_jax.data.sources import folders
from resnet_jax.data.sources.source import ImageShape
from resnet_jax.errors import DataError

READ = (
    "read are Image, or Sequence(Image) of a fixed length, of"
    f" {', '.join(decode.DTYPES)} and 1, 3 or 4 channels, with a ClassLabel"
)


@dataclasses.dataclass(frozen=True)
class Features:
    """Names, shape, dtype and classes of the image and label features."""

    image: str
    label: str
    shape: ImageShape
    dtype: np.dtype
    classes: tuple[str, ...]


def declared(info) -> Features:
    """Find the image and the label of a data set; DataError unless they can be read."""
    image, label = _keys(info)
    feature, classes = info.features[image], info.features[label]
    shape, dtype = tuple(feature.shape), np.dtype(feature.np_dtype)
    clip = feature is not _frame(feature)
    if clip and not shape[0]:
        raise unsupported(info, f"{image!r} is a Sequence of unknown length")
    if len(shape) != 3 + clip:
        raise unsupported(info, f"{image!r} is an Image of shape {shape}")
    if shape[-1] not in decode.MODES:
        raise unsupported(info, f"{image!r} has {shape[-1]} channels")
    if dtype.name not in decode.DTYPES:
        raise unsupported(info, f"{image!r} has dtype {dtype.name}")
    if not classes.num_classes:
        raise unsupported(info, f"{label!r} has no number of classes")
    return Features(image, label, shape, dtype, tuple(classes.names))


def unsupported(info, problem: str) -> DataError:
    """Make the error for features that are whole, but cannot be read."""
    kinds = (f"{k}: {type(f).__name__}" for k, f in sorted(info.features.items()))
    return DataError(
        f"data.name={info.name!r}: unsupported features: {problem}; {READ}; its"
        f" features are {', '.join(kinds)}"
    )


def check_whole(folder: pathlib.Path) -> None:
    """DataError where features.json is damaged, or needs TensorFlow to be read."""
    path = folder / "features.json"
    try:
        text = path.read_text()
        json.loads(text)
    except (OSError, ValueError) as error:
        raise folders.damaged(folder, error) from error
    if "video_feature.Video" in text:
        raise DataError(
            f"{path}: unsupported features: Video needs TensorFlow; {READ}: store the"
            " frames of clips as Sequence(Image(...), length=FRAMES)"
        )


def unreadable(folder: pathlib.Path, error: BaseException) -> DataError:
    """Make the error for a folder that tfds does not open: unsupported or damaged."""
    from tensorflow_datasets import features

    try:
        features.FeatureConnector.from_config(str(folder))
    # A feature of an unknown class, dtype or shape, or one that needs TensorFlow.
    except Exception as cause:
        return DataError(
            f"{folder}/features.json: unsupported features"
            f" ({folders.first_line(cause)}); {READ}"
        )
    return folders.damaged(folder, error)


def _keys(info) -> tuple[str, str]:
    """Find the names of the image and the label among the supervised keys."""
    from tensorflow_datasets import features

    usual = [key for key in ("image", "label") if key in info.features]
    named = info.supervised_keys or (usual if len(usual) == 2 else (*info.features,))
    keys = list(_leaves(named))
    if missing := [key for key in keys if key not in info.features]:
        raise unsupported(info, f"supervised_keys names {missing[0]!r}, which is none")
    images = [key for key in keys if _is_image(info.features[key])]
    labels = [k for k in keys if isinstance(info.features[k], features.ClassLabel)]
    for kind, found in (("Image", images), ("ClassLabel", labels)):
        if len(found) != 1:
            raise unsupported(
                info,
                f"{', '.join(keys)} hold {len(found)} features of type {kind},"
                " must be one",
            )
    return images[0], labels[0]


def _leaves(keys) -> Iterator[str]:
    """Yield the names in supervised keys: a name, or nested tuples and dicts."""
    if isinstance(keys, str):
        yield keys
        return
    for key in keys.values() if isinstance(keys, dict) else keys:
        yield from _leaves(key)


def _is_image(feature) -> bool:
    """Tell whether a feature is an image, or a clip of images."""
    from tensorflow_datasets import features

    return isinstance(_frame(feature), features.Image)


def _frame(feature):
    """Find the feature of a frame of a Sequence; other features are their own."""
    from tensorflow_datasets import features

    return feature.feature if isinstance(feature, features.Sequence) else feature
