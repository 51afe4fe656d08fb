"""Preprocessing of a config: stored images to the network's input, on the device."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.config.schema import DataConfig
from resnet_jax.data import crops, statistics
from resnet_jax.data.augment import standard as augment
from resnet_jax.data.augment.mixing import MixSpec
from resnet_jax.data.augment.policies import POLICIES
from resnet_jax.data.augment.standard import AugmentSpec, Preprocess, Statistics
from resnet_jax.data.batch import Arrays
from resnet_jax.data.sources.source import Source
from resnet_jax.errors import ConfigError

Shape = tuple[int, ...]  # [*frames height width channels]


def augmentation(data: DataConfig) -> AugmentSpec:
    """Translate the augmentation of a config: a preset and its additions."""
    spec, policy = augment.preset(data.augment), None
    if data.policy is not None:
        fields = dataclasses.asdict(data.policy)
        policy = POLICIES[fields.pop("name")](**fields)
    return dataclasses.replace(
        spec,
        normalize=data.normalize or spec.normalize,
        policy=policy,
        cutout=data.cutout,
        erasing=data.erasing,
    )


def mixing(data: DataConfig) -> MixSpec | None:
    """Translate the mixing of a config; None: images are not mixed."""
    if data.mix is None:
        return None
    return MixSpec(data.mix.name, data.mix.alpha, data.mix.probability)


def image_shape(data: DataConfig, train: Source) -> Shape:
    """Shape of the images of a batch; ConfigError where they differ, uncropped."""
    *frames, height, width, channels = train.image_shape
    crop = crops.preset(data.augment)
    if crop.crop != "none" and frames:
        raise ConfigError(
            f"data.augment={data.augment!r}: crops images, {data.name} holds clips; "
            "use 'crop_flip_channel', or another that takes them as they are"
        )
    if crop.crop != "none":
        height = width = crop.size
    shape = [n for n in (*frames, height, width, channels) if n is not None]
    if len(shape) < len(train.image_shape):
        raise ConfigError(
            f"data.augment={data.augment!r}: the images of {data.name} differ in size; "
            "use 'imagenet_scale' or 'imagenet_aspect', which crop them"
        )
    return tuple(shape)


def normalising_statistics(
    data: DataConfig,
    train: Source,
    resident: Mapping[str, Arrays] | None,
    image_shape: Shape,
) -> Statistics:
    """Compute the statistics of the training images that normalise all images.

    Random crops are normalised by ImageNet's statistics; other streamed images are read
    once before the run, so that streamed and resident runs are equal.
    """
    if resident:
        return statistics.statistics(resident["train"]["image"])
    if crops.preset(data.augment).crop == "none":
        return statistics.streamed_statistics(train)
    if augmentation(data).normalize == "pixel_mean":
        raise ConfigError(
            f"data.normalize='pixel_mean': the images of data.augment={data.augment!r} "
            "are random crops and have no such mean; use 'channel'"
        )
    if image_shape[-1] != 3:
        raise ConfigError(
            f"data.augment={data.augment!r}: is for images of 3 channels, but those of "
            f"{data.name} have {image_shape[-1]}"
        )
    return augment.IMAGENET_STATISTICS


def in_grey_levels(preprocess: Preprocess, dtype: np.dtype) -> Preprocess:
    """Preprocess images of another dtype than uint8 as grey levels 0..255, unrounded.

    Of uint16 65535 is white, of float32 it is 1.
    """
    if dtype == np.uint8:
        return preprocess

    def scaled_preprocess(key, batch, *, train):
        level = np.float32(statistics.LEVELS[dtype.name])
        images = jnp.asarray(batch["image"], jnp.float32) * level
        return preprocess(key, {**batch, "image": images}, train=train)

    return scaled_preprocess


def in_bytes(images: np.ndarray) -> np.ndarray:
    """Round images of any dtype to grey levels of uint8, to be shown."""
    levels = np.rint(images * statistics.LEVELS[images.dtype.name])
    return np.clip(levels, 0, 255).astype(np.uint8)


def scaled_shape(image_shape: Shape, size: int) -> Shape:
    """Shape of images whose shorter side is scaled to `size` pixels."""
    *frames, height, width, channels = image_shape
    shorter = min(height, width)
    sides = (round(side * size / shorter) for side in (height, width))
    return *frames, *sides, channels


def scaled(preprocess: Preprocess, size: int) -> Preprocess:
    """Resize preprocessed training images to a shorter side of `size` pixels.

    Bilinear, antialiased where they shrink: equal content at another resolution (He et
    al. 2014, Sec. 2.3). Images of evaluations keep their size.
    """

    def scaled_preprocess(key, batch, *, train):
        images = preprocess(key, batch, train=train)
        if not train:
            return images
        shape = (len(images), *scaled_shape(images.shape[1:], size))
        return jax.image.resize(images, shape, "bilinear")

    return scaled_preprocess
