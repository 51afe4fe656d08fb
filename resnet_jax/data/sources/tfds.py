"""Split of a prepared tfds folder as a source of images or clips, and labels."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from resnet_jax.data import decode
from resnet_jax.data.decode import Pixels
from resnet_jax.data.sources import folders
from resnet_jax.data.sources.records import Records, open_records
from resnet_jax.data.sources.source import Example, ImageShape
from resnet_jax.errors import DataError


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """Records `start` to `start + length` of a tfds split, as a `Source`."""

    name: str
    version: str
    split: str
    num_classes: int
    image_shape: ImageShape
    description: str
    records: Records
    start: int
    length: int
    keys: tuple[str, str] = ("image", "label")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        return self._example(index, self.records.read(self._position(index)))

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        positions = [self._position(index) for index in indices]
        records = self.records.read_many(positions)
        return [self._example(*pair) for pair in zip(indices, records, strict=True)]

    @property
    def fingerprint(self) -> str:
        return f"{self.name}:{self.version}:{self.split}:{len(self)}"

    def where(self, index: int) -> str:
        """Describe the location of an example on disk."""
        return self.records.where(self._position(index))

    def _position(self, index: int) -> int:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.split}[{index}] of {self.length} examples")
        return self.start + int(index)

    def _example(self, index: int, record: bytes) -> Example:
        try:
            frames, label = _parsed(record, self.keys)
            image = _decoded(frames, shape=self.image_shape)
        # Pillow and protobuf raise many kinds of exception on damaged bytes.
        except Exception as error:
            cause = folders.first_line(error)
            raise DataError(
                f"{self.where(index)}: damaged image ({cause});"
                " delete the folder and prepare the data set again"
            ) from error
        if not 0 <= label < self.num_classes:
            raise DataError(
                f"data.num_classes={self.num_classes}: label {label} at"
                f" {self.where(index)}; labels must be 0..{self.num_classes - 1}"
            )
        return {"image": image, "label": label}


def _parsed(record: bytes, keys: tuple[str, str]) -> tuple[Sequence[bytes], int]:
    """Parse the encoded frames and the label of a serialised `tf.train.Example`."""
    from tensorflow_datasets.proto import tf_example_pb2

    # Protobuf creates the class at import, so that type checkers do not see it.
    example = tf_example_pb2.Example.FromString(record)  # type: ignore
    feature = example.features.feature
    return feature[keys[0]].bytes_list.value, feature[keys[1]].int64_list.value[0]


def _decoded(frames: Sequence[bytes], *, shape: ImageShape) -> Pixels:
    """Decode an image, or a clip of the declared number of frames."""
    *lengths, height, width, channels = shape
    assert channels is not None  # checked when the split is opened
    if not lengths:
        return decode.pixels(frames[0], shape=(height, width, channels))
    if len(frames) != lengths[0]:
        raise ValueError(f"clip has {len(frames)} frames, must have {lengths[0]}")
    images = [decode.pixels(frame, shape=(height, width, channels)) for frame in frames]
    return np.stack(images)


def open_split(builder, split: str) -> TfdsSource:
    """Open a tfds split; DataError unless it classifies images or clips."""
    info = builder.info
    image, label = _keys(info)
    shape = tuple(info.features[image].shape)
    if shape[-1] not in decode.MODES:
        raise DataError(f"{info.name}: images have {shape[-1]} channels, not 1, 3 or 4")
    records = open_records(builder, split)
    return TfdsSource(
        name=info.full_name.split(":")[0].rsplit("/", 1)[0],
        version=str(info.version),
        split=split,
        num_classes=info.features[label].num_classes,
        image_shape=shape,
        description=info.description,
        records=records,
        start=0,
        length=sum(records.lengths),
        keys=(image, label),
    )


def _keys(info) -> tuple[str, str]:
    """Find the names of the image and label features."""
    from tensorflow_datasets import features

    keys = info.supervised_keys or ("image", "label")
    named = len(keys) == 2 and all(key in info.features for key in keys)
    if not (
        named
        and _is_image(info.features[keys[0]])
        and isinstance(info.features[keys[1]], features.ClassLabel)
    ):
        raise DataError(
            f"data.name={info.name!r}: is not an image classification data set; its"
            f" features are {', '.join(info.features)}"
        )
    return keys


def _is_image(feature) -> bool:
    """Tell whether a feature is an image or a clip, a Sequence of fixed length."""
    from tensorflow_datasets import features

    shape = feature.shape
    if isinstance(feature, features.Sequence) and shape[0]:
        feature = feature.feature
    return isinstance(feature, features.Image)
