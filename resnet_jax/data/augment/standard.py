"""Augmentation on the device: a pure function of (key, batch), with a key per example.

A clip is one example: all of its frames get one draw.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from resnet_jax.data.augment import erasing
from resnet_jax.data.augment.operations import LUMA
from resnet_jax.data.augment.policies import PolicySpec
from resnet_jax.errors import ConfigError

# Channel mean and std of ImageNet's training images, in grey levels
# (fb.resnet.torch, datasets/imagenet.lua: 0.485 0.456 0.406, 0.229 0.224 0.225).
IMAGENET_STATISTICS = {
    "channel_mean": np.array([0.485, 0.456, 0.406]) * 255,
    "channel_std": np.array([0.229, 0.224, 0.225]) * 255,
}

# Principal components of ImageNet's colours on the 0..1 scale (Krizhevsky et al. 2012,
# section 4.1; the numbers of fb.resnet.torch, datasets/imagenet.lua).
PCA_VALUES = (0.2175, 0.0188, 0.0045)
PCA_VECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)

Image = Float[Array, "*t h w c"]
Statistics = Mapping[str, np.ndarray]  # of the training images, in grey levels
# preprocess(key, batch, *, train) -> images; evaluation draws nothing: its key is None
Preprocess = Callable[..., Float[Array, "b *t h w c"]]


@dataclasses.dataclass(frozen=True)
class AugmentSpec:
    """Policy, colour, normalisation, flip, pad and crop, erasing: in this order.

    Padding follows normalisation, so that its zeros are the mean colour.
    """

    crop_pad: int = 0  # pixels padded on each side ahead of a random crop
    fill: Literal["zero", "reflect"] = "zero"
    flip: Literal["none", "horizontal"] = "none"
    normalize: Literal["none", "pixel_mean", "channel"] = "channel"
    colour: float = 0.0  # brightness, contrast and saturation each by 1 ± colour
    lighting: float = 0.0  # standard deviation along the principal components of colour
    policy: PolicySpec | None = None
    cutout: int = 0  # side of a square of zeros
    erasing: float = 0.0  # probability that a random box is erased


PRESETS = {
    "none": AugmentSpec(),
    # Digits: a mirrored 2 is no digit, and 8 pixels bear a shift of one.
    "crop": AugmentSpec(crop_pad=1),
    # He et al. 2016a, section 4.2: per-pixel mean, 4-pixel pad, crop, flip.
    "crop_flip": AugmentSpec(crop_pad=4, flip="horizontal", normalize="pixel_mean"),
    # fb.resnet.torch and resnet-1k-layers: the same by channel mean and std.
    "crop_flip_channel": AugmentSpec(crop_pad=4, flip="horizontal"),
    # Zagoruyko & Komodakis 2016 (released code): the border mirrored.
    "crop_flip_reflect": AugmentSpec(crop_pad=4, fill="reflect", flip="horizontal"),
    # He et al. 2016a, section 3.4: scale jitter (`crops`), flip, AlexNet's colours.
    "imagenet_scale": AugmentSpec(flip="horizontal", lighting=0.1),
    # fb.resnet.torch: area and aspect jitter (`crops`), colour jitter, flip.
    "imagenet_aspect": AugmentSpec(flip="horizontal", colour=0.4, lighting=0.1),
}


def preset(name: str) -> AugmentSpec:
    """Look up an augmentation by its name in a config."""
    if name not in PRESETS:
        raise ConfigError(f"data.augment={name!r}: must be one of {', '.join(PRESETS)}")
    return PRESETS[name]


def build(spec: AugmentSpec, stats: Statistics) -> Preprocess:
    """Make `preprocess(key, batch, *, train) -> float32 [b *t h w c]`.

    `key` is that of the step; the key of an example folds in its `row` of the global
    batch, so that draws do not depend on devices and processes.
    """
    normalize = _normalizer(spec, stats)
    channels = len(stats["channel_mean"])
    if (spec.colour or spec.lighting) and channels != 3:
        raise ConfigError(
            f"data.augment: jitters colour, but the images have {channels} channel(s);"
            " use a recipe without colour, for example 'crop'"
        )

    def preprocess(
        key: Shaped[Array, "..."] | None,
        batch: Mapping[str, Shaped[Array | np.ndarray, "b ..."]],
        *,
        train: bool,
    ) -> Float[Array, "b *t h w c"]:
        images = jnp.asarray(batch["image"], jnp.float32)
        if not train:
            return jax.vmap(normalize)(images)
        assert key is not None, "training images need a random key"
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(batch["row"]))
        augment = functools.partial(_augmented, spec, normalize)
        return jax.vmap(augment)(keys, images)

    return preprocess


def _augmented(
    spec: AugmentSpec, normalize: Callable[[Image], Image], key: Array, image: Image
) -> Image:
    """Augment and normalise one example, in the order of `AugmentSpec`."""
    crop_key, flip_key, colour_key, lighting_key = jax.random.split(key, 4)
    policy_key, hole_key = (jax.random.fold_in(key, n) for n in (4, 5))
    if spec.policy:
        image = spec.policy(policy_key, image)
    if spec.colour:
        image = jitter_colour(colour_key, image, strength=spec.colour)
    if spec.lighting:
        image = jitter_lighting(lighting_key, image, strength=spec.lighting)
    image = normalize(image)
    if spec.flip == "horizontal":
        flipped = jax.random.bernoulli(flip_key)
        image = jnp.where(flipped, image[..., ::-1, :], image)
    if spec.crop_pad:
        image = pad_and_crop(crop_key, image, pad=spec.crop_pad, fill=spec.fill)
    if spec.cutout:
        image = erasing.cutout(hole_key, image, side=spec.cutout)
    if spec.erasing:
        image = erasing.random_erasing(hole_key, image, probability=spec.erasing)
    return image


def _normalizer(spec: AugmentSpec, stats: Statistics) -> Callable[[Image], Image]:
    """Make the map from grey levels 0..255 to the network's input.

    "none" gives 0..1 and "pixel_mean" keeps this scale, (x - mean) / 255: BatchNorm
    behind the first convolution cancels the scale, a pre-activation stem does not.
    """
    if spec.normalize == "none":
        return lambda image: image / 255
    if spec.normalize == "pixel_mean":
        mean, scale = np.float32(stats["pixel_mean"]), np.float32(255)
    else:
        mean = np.float32(stats["channel_mean"])
        # At least one grey level, so that a constant channel stays finite.
        scale = np.float32(np.maximum(stats["channel_std"], 1.0))
    return lambda image: (image - _like(image, mean)) / _like(image, scale)


def _like(image: Image, values) -> np.ndarray:
    """Reshape values per channel, or per pixel and channel, to broadcast."""
    values = np.asarray(values, np.float32)
    return values.reshape((1,) * (image.ndim - values.ndim) + values.shape)


def pad_and_crop(
    key: Array, image: Image, *, pad: int, fill: Literal["zero", "reflect"]
) -> Image:
    """Pad each side by `pad` pixels, then take a random crop of the original size."""
    frames = image.ndim - 3
    mode = {"zero": "constant", "reflect": "reflect"}[fill]
    edges = ((0, 0),) * frames + ((pad, pad), (pad, pad), (0, 0))
    top, left = jax.random.randint(key, (2,), 0, 2 * pad + 1)
    start = (*(0,) * frames, top, left, 0)
    return jax.lax.dynamic_slice(jnp.pad(image, edges, mode=mode), start, image.shape)


def jitter_colour(key: Array, image: Image, *, strength: float) -> Image:
    """Change brightness b, contrast c and saturation s, each uniform in 1 ± strength.

    Contrast is c x + (1 - c) m with the mean grey m of the image, saturation is
    s x + (1 - s) g(x) with the grey g of the pixel, the luma of fb.resnet.torch. Its
    weights sum to one, so m(g) = m and the three commute: the random order of
    fb.resnet.torch changes nothing.
    """
    b, c, s = 1 + strength * jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0)
    # Sums, not dots: an accelerator's dots round to fewer bits.
    grey = (image * _like(image, LUMA)).sum(-1, keepdims=True)
    return b * (c * s * image + c * (1 - s) * grey + (1 - c) * grey.mean())


def jitter_lighting(key: Array, image: Image, *, strength: float) -> Image:
    """Add AlexNet's colour shift P (a * l), with a ~ N(0, strength^2) per component."""
    values = np.asarray(PCA_VALUES, np.float32)
    vectors = np.asarray(PCA_VECTORS, np.float32)
    alpha = strength * jax.random.normal(key, (3,)) * values
    offset = (vectors * alpha[None]).sum(-1)
    return image + 255 * offset.reshape((1,) * (image.ndim - 1) + offset.shape)
