"""Published sizes of data sets."""

import dataclasses

from resnet_jax.config.schema import DataConfig
from resnet_jax.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Images per split, classes and image shape; None: not known here."""

    train: int | None
    test: int | None
    classes: int
    image: tuple[int, ...]


DATASETS = {
    "cifar10": Dataset(50_000, 10_000, 10, (32, 32, 3)),
    "cifar100": Dataset(50_000, 10_000, 100, (32, 32, 3)),
    "imagenet2012": Dataset(1_281_167, 50_000, 1000, (224, 224, 3)),
    "digits": Dataset(1_437, 360, 10, (8, 8, 1)),
    "digits_low": Dataset(720, 181, 5, (8, 8, 1)),
    "digits_high": Dataset(717, 179, 5, (8, 8, 1)),
    "moving_digits": Dataset(1_437, 360, 10, (8, 16, 16, 1)),
}
# Copies of Kinetics lack different videos; the size of Places2 is not known here.
UNCOUNTED = {
    "kinetics400": Dataset(None, None, 400, (16, 112, 112, 3)),
    "places2": Dataset(None, None, 401, (224, 224, 3)),
}


def dataset(data: DataConfig) -> Dataset:
    """Sizes of the data set of a config; ConfigError if they are not known here."""
    name, known = data.name.partition(":")[0], DATASETS | UNCOUNTED
    if name not in known:
        raise ConfigError(
            f"data.name={name!r}: its size is not known here; known are "
            f"{', '.join(known)}"
        )
    if data.test_split:  # which tells its number of images only with the data
        return dataclasses.replace(known[name], test=None)
    return known[name]


def train_images(data: DataConfig) -> int | None:
    """Training images: N of a split N/M, or the whole set; None: not known."""
    whole = dataset(data).train
    if data.split == "full":
        held_out = (data.test_split or "").startswith("train")
        return None if held_out else whole
    first = data.split.split("/")[0]
    count = int(first.removesuffix("k")) * (1000 if first.endswith("k") else 1)
    if count > (whole or count):
        raise ConfigError(
            f"data.split={data.split!r}: {data.name} has {whole} training images"
        )
    return count
