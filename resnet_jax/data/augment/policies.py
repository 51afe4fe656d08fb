"""RandAugment and AugMix: random operations per image, on whole grey levels.

Policies are applied ahead of flips and crops, as AutoAugment's code for CIFAR does
(tensorflow/models, research/autoaugment/data_utils.py).
"""

import dataclasses
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from resnet_jax.data.augment import affine, operations

Image = Float[Array, "*t h w c"]
Picture = Float[Array, "h w c"]

RANDAUGMENT = (
    "identity", "autocontrast", "equalize", "rotate", "solarize", "colour", "posterize",
    "contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x",
    "translate_y",
)  # fmt: skip
# AugMix leaves out operations that resemble the corruptions of its test sets.
AUGMIX = (
    "autocontrast", "equalize", "posterize", "rotate", "solarize", "shear_x", "shear_y",
    "translate_x", "translate_y",
)  # fmt: skip
MAX_LEVEL = 10  # of both policies' magnitudes: the whole range of an operation
MAX_DEPTH = 3  # operations of AugMix's longest chain of random length
SMALL = 32  # longest side that is shifted as CIFAR's images


@dataclasses.dataclass(frozen=True)
class RandAugmentSpec:
    """A sequence of operations of one magnitude (Cubuk et al. 2020).

    The paper's 14 operations with the ranges of torchvision's RandAugment, nearest
    pixels, black outside; its magnitude m of 30 is m / 3 here, where 10 is the whole
    range as in the paper. Translations by at most 10 / 32 of sides of up to 32 pixels
    are those of AutoAugment's code for CIFAR, by 150 / 331 of longer sides ImageNet's.
    """

    operations: int = 2
    magnitude: float = 9.0

    name = "randaugment"
    # From models/official/efficientnet/autoaugment.py of tensorflow/tpu.
    departures = (
        "torchvision's 14 operations, while tensorflow/tpu has 16 (invert, cutout and "
        "solarize-add, no identity), enhances by 0.18 m + 0.1 alone, solarizes from "
        "25.6 m, keeps 0.4 m bits, shifts by 10 m pixels and fills with grey; ahead of "
        "the flip"
    )

    def __call__(self, key: Array, image: Image) -> Image:
        """Augment an image, or all frames of a clip by one draw."""
        if image.ndim > 3:
            return jax.vmap(self, (None, 0))(key, image)
        image = whole_levels(image)
        arguments, matrices = self.tables(*image.shape[:2])
        keys = jax.random.split(key, self.operations)

        def step(i, image):
            drawn = self.drawn(keys[i])
            return operations.apply(
                RANDAUGMENT,
                drawn[0],
                image,
                warped=affine.nearest(image, jnp.asarray(matrices)[drawn]),
                argument=jnp.asarray(arguments)[drawn],
            )

        return jax.lax.fori_loop(0, len(keys), step, image)

    def drawn(self, key: Array) -> tuple[Array, Array]:
        """Draw an operation and its sign, 0 for - and 1 for +."""
        number_key, sign_key = jax.random.split(key)
        number = jax.random.randint(number_key, (), 0, len(RANDAUGMENT))
        return number, jax.random.bernoulli(sign_key).astype(jnp.int32)

    def tables(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Arguments [14 2] and matrices in fixed point [14 2 2 3], by sign - and +."""
        arguments, matrices = [], []
        for sign in (-1, 1):
            values = randaugment_arguments(
                self.magnitude / MAX_LEVEL, height, width, sign=sign
            )
            arguments.append([values[name] for name in RANDAUGMENT])
            moves = {
                "rotate": affine.rotation(values["rotate"], height, width),
                **_shears_and_translations(values),
            }
            found = [moves.get(name, affine.IDENTITY) for name in RANDAUGMENT]
            matrices.append([affine.fixed_point(matrix) for matrix in found])
        return np.array(arguments, np.float32).T, np.stack(matrices, 1)


def randaugment_arguments(
    share: float, height: int, width: int, *, sign: int
) -> dict[str, int | float]:
    """Arguments of the operations at a share of the range, from 0 to 1."""
    enhanced = 1 + sign * 0.9 * share
    reach = [n * (10 / 32 if n <= SMALL else 150 / 331) for n in (height, width)]
    down, right = (sign * int(share * pixels) for pixels in reach)
    return {
        "identity": 0, "autocontrast": 0, "equalize": 0,
        "rotate": sign * 30 * share,
        "solarize": 255 * (1 - share),
        "posterize": 8 - round(4 * share),
        "colour": enhanced, "contrast": enhanced,
        "brightness": enhanced, "sharpness": enhanced,
        "shear_x": sign * 0.3 * share, "shear_y": sign * 0.3 * share,
        "translate_x": right, "translate_y": down,
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class AugMixSpec:
    """Chains of operations, mixed with the image (Hendrycks et al. 2020).

    m x + (1 - m) sum_i w_i chain_i(x), w ~ Dirichlet(alpha), m ~ Beta(alpha, alpha)

    Operations, ranges and defaults for CIFAR of google-research/augmix,
    augmentations.py and cifar.py: levels of 10 from U(0.1, severity), bilinear.
    depth: operations per chain; None: 1 to 3, drawn per chain.
    """

    severity: float = 3.0
    width: int = 3
    depth: int | None = None
    alpha: float = 1.0

    name = "augmix"
    departures = "without the consistency loss, ahead of flip and crop"

    def __call__(self, key: Array, image: Image) -> Image:
        """Augment an image, or all frames of a clip by one draw."""
        if image.ndim > 3:
            return jax.vmap(self, (None, 0))(key, image)
        image = whole_levels(image)
        chains, weights, share = jax.random.split(key, 3)
        keys = jax.random.split(chains, self.width)
        chained = jax.vmap(self._chain, (0, None))(keys, image)
        weights = jax.random.dirichlet(weights, jnp.full(self.width, self.alpha))
        mixed = (weights[:, None, None, None] * chained).sum(0)
        keep = jax.random.beta(share, self.alpha, self.alpha)
        return keep * image + (1 - keep) * mixed

    def _chain(self, key: Array, image: Picture) -> Picture:
        """Apply operations of random levels, of which there are `depth`."""
        keys = jax.random.split(key, (self.depth or MAX_DEPTH) + 1)
        length = self.depth or jax.random.randint(keys[0], (), 1, MAX_DEPTH + 1)

        # A loop, as the program of one operation takes seconds to compile.
        def step(i, image):
            return jnp.where(i < length, self.operation(keys[i + 1], image), image)

        return jax.lax.fori_loop(0, len(keys) - 1, step, image)

    def drawn(self, key: Array) -> tuple[Array, Array, Array]:
        """Draw an operation, its level and its sign, -1 or 1."""
        number_key, level_key, sign_key = jax.random.split(key, 3)
        number = jax.random.randint(number_key, (), 0, len(AUGMIX))
        level = jax.random.uniform(level_key, minval=0.1, maxval=self.severity)
        return number, level, jax.random.rademacher(sign_key, (), jnp.float32)

    def operation(self, key: Array, image: Picture) -> Picture:
        """Apply one operation."""
        number, level, sign = self.drawn(key)
        height, width, _ = image.shape
        values = augmix_arguments(level, height, width, sign=sign)
        moves = {
            "rotate": _turned(values["rotate"], height, width),
            **_shears_and_translations(values),
        }
        matrices = [jnp.array(moves.get(n, affine.IDENTITY)) for n in AUGMIX]
        return operations.apply(
            AUGMIX,
            number,
            image,
            warped=affine.bilinear(image, jnp.stack(matrices)[number]),
            argument=jnp.stack([values[name] for name in AUGMIX])[number],
        )


def augmix_arguments(
    level: Array, height: int, width: int, *, sign: Array
) -> dict[str, Array]:
    """Arguments of the operations at a level from 0 to 10."""
    none = jnp.zeros(())
    return {
        "autocontrast": none, "equalize": none,
        "posterize": 4 - jnp.floor(level * 4 / 10),
        "rotate": sign * jnp.floor(level * 30 / 10),
        "solarize": 256 - jnp.floor(level * 256 / 10),
        "shear_x": sign * level * 0.3 / 10, "shear_y": sign * level * 0.3 / 10,
        "translate_x": sign * jnp.floor(level * (width / 3) / 10),
        "translate_y": sign * jnp.floor(level * (height / 3) / 10),
    }  # fmt: skip


def _turned(degrees: Array, height: int, width: int) -> Array:
    """Matrix [2 3] of a rotation by whole degrees of up to 30."""
    turns = np.array([affine.rotation(d, height, width) for d in range(-30, 31)])
    return jnp.asarray(turns, jnp.float32)[degrees.astype(jnp.int32) + 30]


def _shears_and_translations(values: dict) -> dict[str, affine.Matrix]:
    return {
        "shear_x": affine.shear_x(values["shear_x"]),
        "shear_y": affine.shear_y(values["shear_y"]),
        "translate_x": affine.translation_x(values["translate_x"]),
        "translate_y": affine.translation_y(values["translate_y"]),
    }


def whole_levels(image: Picture) -> Picture:
    """Round to grey levels; images of 8 bits per channel are whole already."""
    return jnp.clip(jnp.round(image), 0, 255)


PolicySpec: TypeAlias = RandAugmentSpec | AugMixSpec
POLICIES = {cls.name: cls for cls in (RandAugmentSpec, AugMixSpec)}
