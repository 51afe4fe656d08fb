"""Augmentation on the device: a pure function of (key, batch), one key an example.

A clip is one example: what is drawn holds for all of its frames.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8

from resnet_jax.data.augment import mixing
from resnet_jax.data.augment.policies import PolicySpec
from resnet_jax.errors import ConfigError

# ITU-R BT.601 luma, the grey of fb.resnet.torch's colour jitter. They sum to one.
LUMA = (0.299, 0.587, 0.114)

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
Preprocess = Callable[..., Float[Array, "b *t h w c"]]


@dataclasses.dataclass(frozen=True)
class AugmentSpec:
    """Policy, colour, normalise, flip, pad and crop, erase: in this order.

    The padding comes after the normalisation, so zeros are the mean colour.
    """

    crop_pad: int = 0
    fill: Literal["zero", "reflect"] = "zero"
    flip: Literal["none", "horizontal"] = "none"
    normalize: Literal["none", "pixel_mean", "channel"] = "channel"
    colour: float = 0.0  # brightness, contrast and saturation each by 1 ± colour
    lighting: float = 0.0  # standard deviation along the components of colour
    policy: PolicySpec = PolicySpec()
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
    # He et al. 2016a, section 3.4: scale jitter (`decode`), flip, AlexNet's colours.
    "imagenet_scale": AugmentSpec(flip="horizontal", lighting=0.1),
    # fb.resnet.torch: area and aspect jitter (`decode`), colour jitter, flip.
    "imagenet_aspect": AugmentSpec(flip="horizontal", colour=0.4, lighting=0.1),
}


def preset(name: str) -> AugmentSpec:
    """The augmentation of a recipe, by the name a config gives it."""
    if name not in PRESETS:
        raise ConfigError(f"data.augment={name!r}: must be one of {', '.join(PRESETS)}")
    return PRESETS[name]


def statistics(images: UInt8[np.ndarray, "n *t h w c"]) -> dict[str, np.ndarray]:
    """Mean image and channel moments in grey levels, exact, of the training images."""
    values = np.arange(256, dtype=np.float64)
    # Counts of 256 grey levels hold both moments of a channel exactly, in one pass.
    counts = np.stack(
        [np.bincount(channel.ravel(), minlength=256) for channel in _channels(images)]
    )
    mean = counts @ values / counts.sum(-1)
    square = counts @ values**2 / counts.sum(-1)
    return {
        "pixel_mean": images.sum(0, dtype=np.int64) / len(images),
        "channel_mean": mean,
        "channel_std": np.sqrt(np.maximum(square - mean**2, 0.0)),
    }


def _channels(images):
    return (images[..., c] for c in range(images.shape[-1]))


def build(spec: AugmentSpec, stats: Mapping[str, np.ndarray]) -> Preprocess:
    """`preprocess(key, batch, *, train) -> float32 [b *t h w c]` with these statistics.

    `key` belongs to the step; an example's own key is that key folded with its `row` in
    the global batch, so devices and processes may share the batch as they like.
    """
    normalize = _normalizer(spec, stats)
    channels = len(stats["channel_mean"])
    if (spec.colour or spec.lighting) and channels != 3:
        raise ConfigError(
            f"data.augment: jitters colour, but the images have {channels} channel(s);"
            " use a recipe without colour, for example 'crop'"
        )

    def one(key, image: Image) -> Image:
        crop_key, flip_key, colour_key, lighting_key = jax.random.split(key, 4)
        policy_key, hole_key = (jax.random.fold_in(key, n) for n in (4, 5))
        if spec.policy.kind != "none":
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
            image = shift(crop_key, image, spec=spec)
        if spec.cutout:
            image = mixing.cutout(hole_key, image, side=spec.cutout)
        if spec.erasing:
            image = mixing.erased(hole_key, image, probability=spec.erasing)
        return image

    def preprocess(
        key: Shaped[Array, "..."] | None,  # None: evaluation draws nothing
        batch: Mapping[str, Shaped[Array | np.ndarray, "b ..."]],
        *,
        train: bool,
    ) -> Float[Array, "b *t h w c"]:
        images = jnp.asarray(batch["image"], jnp.float32)
        if not train:
            return jax.vmap(normalize)(images)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(batch["row"]))
        return jax.vmap(one)(keys, images)

    return preprocess


def _normalizer(spec, stats) -> Callable[[Image], Image]:
    """Grey levels 0..255 to the network's input.

    "none" gives 0..1 and "pixel_mean" keeps that unit, (x - mean) / 255: a BatchNorm
    behind the first convolution cancels the unit, a pre-activation stem has none.
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


def _like(image, values):
    """Values of channels, or of all that an image has, with the axes of the image."""
    return values.reshape((1,) * (image.ndim - values.ndim) + values.shape)


def shift(key, image: Image, *, spec: AugmentSpec) -> Image:
    """A crop of the image's own size out of the image padded by `crop_pad`."""
    pad, rest = spec.crop_pad, (0,) * (image.ndim - 3)
    mode = {"zero": "constant", "reflect": "reflect"}[spec.fill]
    edges = ((0, 0),) * len(rest) + ((pad, pad), (pad, pad), (0, 0))
    top, left = jax.random.randint(key, (2,), 0, 2 * pad + 1)
    start = (*rest, top, left, 0)
    return jax.lax.dynamic_slice(jnp.pad(image, edges, mode=mode), start, image.shape)


def jitter_colour(key, image: Image, *, strength: float) -> Image:
    """Brightness b, contrast c and saturation s, each uniform in 1 ± strength.

    Contrast is c x + (1 - c) m with the mean grey m of the image, saturation is
    s x + (1 - s) g(x) with the grey g of the pixel. The luma weights sum to one, so
    m(g) = m and the three commute: fb.resnet.torch's random order changes nothing.
    """
    b, c, s = 1 + strength * jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0)
    # Sums, not dots: an accelerator's dots round to fewer bits.
    grey = (image * _like(image, np.float32(LUMA))).sum(-1, keepdims=True)
    return b * (c * s * image + c * (1 - s) * grey + (1 - c) * grey.mean())


def jitter_lighting(key, image: Image, *, strength: float) -> Image:
    """AlexNet's colour altering: add P (a * l), a normal with deviation `strength`."""
    alpha = strength * jax.random.normal(key, (3,)) * np.float32(PCA_VALUES)
    offset = (np.float32(PCA_VECTORS) * alpha[None]).sum(-1)
    return image + 255 * _like(image, offset)
