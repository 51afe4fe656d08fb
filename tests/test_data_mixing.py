"""Mixed images, erased boxes and random operations against their definitions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.data.augment import erasing, operations
from resnet_jax.data.augment.mixing import MixSpec
from resnet_jax.data.augment.policies import PolicySpec
from resnet_jax.train.state import create
from resnet_jax.train.step import StepSpec, Task, make_train_step

KEYS = jax.random.split(jax.random.key(0), 200)


def numbered(b=8, side=12):
    """Images whose every pixel is the number of the image."""
    numbers = jnp.arange(1.0, b + 1)[:, None, None, None]
    return jnp.broadcast_to(numbers, (b, side, side, 3))


def test_mixup_is_the_same_share_of_images_and_targets():
    images = numbered()
    mixed, other, share = MixSpec("mixup", alpha=0.5)(KEYS[0], images)
    expected = share * images + (1 - share) * images[other]
    np.testing.assert_allclose(mixed, expected, rtol=1e-6)
    assert sorted(other.tolist()) == list(range(8))
    assert 0 < share < 1


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_follow_the_beta_distribution(alpha):
    """Variance 1 / (4 (2 alpha + 1)); 200 draws, within a fifth."""
    draw = jax.vmap(lambda key: MixSpec("mixup", alpha)(key, numbered(2, 1))[2])
    shares = np.asarray(draw(jax.random.split(jax.random.key(1), 4000)))
    assert abs(shares.mean() - 0.5) < 0.03
    np.testing.assert_allclose(shares.var(), 1 / (4 * (2 * alpha + 1)), rtol=0.1)


def test_cutmix_pastes_a_box_and_counts_it():
    images = numbered()
    seen = set()
    for key in KEYS[:20]:
        mixed, other, share = MixSpec("cutmix")(key, images)
        pasted = np.asarray(mixed != images).all(-1)
        moved = np.asarray(other) != np.arange(8)
        np.testing.assert_allclose(
            pasted[moved].mean((1, 2)), 1 - float(share), atol=1e-6
        )
        if not moved.any() or not pasted[moved][0].any():
            continue
        rows, columns = np.nonzero(pasted[moved][0])
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert box == pasted[moved][0].sum()
        seen.add(box)
    assert len(seen) > 5


def test_a_batch_is_mixed_with_its_probability():
    spec = MixSpec("mixup", probability=0.25)
    shares = jax.vmap(lambda key: spec(key, numbered(2, 1))[2])(KEYS)
    left = float((shares == 1.0).mean())
    assert abs(left - 0.75) < 4 * (0.75 * 0.25 / 200) ** 0.5


def loss(mix, batch, weights):
    """What one update says of a linear net with these weights."""

    def apply(variables, images, *, train, rngs):
        return images.reshape(len(images), -1) @ variables["params"]["kernel"], {}

    variables = {"params": {"kernel": weights}, "batch_stats": {}}
    task = Task(
        init=lambda key: variables,
        apply=apply,
        preprocess=lambda key, batch, train: batch["image"],
        statistics=lambda *_, **__: {},
        tx=optax.sgd(0.1),
        mix=mix,
    )
    state = create(variables, task.tx, seed=jnp.uint32(0), ema=0.0)
    return float(make_train_step(task, StepSpec())(state, batch)[1]["loss"])


def test_mixed_targets_reach_the_loss():
    """share of the cross-entropy with its own label, the rest with the other's."""
    generator = np.random.default_rng(0)
    label = jnp.asarray(generator.integers(0, 4, 8), jnp.int32)
    image = jnp.asarray(generator.normal(size=(8, 2, 2, 1)), jnp.float32)
    batch = {"image": image, "label": label, "mask": jnp.ones(8), "row": jnp.arange(8)}
    weights = jnp.asarray(generator.normal(size=(4, 4)), jnp.float32)
    other = jnp.roll(jnp.arange(8), 1)
    mixed = loss(lambda key, x: (x, other, jnp.float32(0.3)), batch, weights)
    own = loss(None, batch, weights)
    crossed = loss(None, batch | {"label": label[other]}, weights)
    np.testing.assert_allclose(mixed, 0.3 * own + 0.7 * crossed, rtol=1e-5)
    assert abs(own - crossed) > 0.01


def test_cutout_is_a_clipped_square_of_zeros():
    image = jnp.ones((10, 14, 3))
    holes = jax.vmap(lambda key: erasing.cutout(key, image, side=4))(KEYS)
    gone = np.asarray(holes == 0).all(-1)
    assert gone.sum((1, 2)).max() == 16
    assert gone.sum((1, 2)).min() < 16  # clipped at the border
    assert gone.any(0).all()  # every pixel, some time


def test_erased_boxes_have_the_published_areas():
    image = jnp.ones((32, 32, 3))
    erase = functools.partial(erasing.random_erasing, image=image, probability=0.5)
    gone = np.asarray(jax.vmap(lambda key: erase(key))(KEYS) == 0).all(-1)
    area = gone.mean((1, 2))
    assert abs((area > 0).mean() - 0.5) < 4 * 0.5 / 200**0.5
    hit = area[area > 0]
    assert hit.min() > 0.01 and hit.max() < 0.45  # sides are rounded
    for mask in gone[area > 0][:20]:
        rows, columns = np.nonzero(mask)
        assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == mask.sum()


def picture(side=16):
    generator = np.random.default_rng(0)
    return jnp.asarray(generator.integers(0, 256, (side, side, 3)), jnp.float32)


# These have no magnitude, or none that is nothing.
MOVING = (operations.autocontrast, operations.equalize, operations.solarize)
STILL = [operation for operation in operations.ALL if operation not in MOVING]


@pytest.mark.parametrize("number", range(len(operations.ALL)))
def test_every_operation_keeps_grey_levels(number):
    operation = operations.ALL[number]
    for m in (0.0, 0.5, 1.0):
        for sign in (-1.0, 1.0):
            y = operation(picture(), jnp.float32(m), jnp.float32(sign))
            assert y.shape == (16, 16, 3)
            assert float(y.min()) >= 0
            assert float(y.max()) <= 255


@pytest.mark.parametrize("number", range(len(STILL)))
def test_magnitude_zero_is_the_image(number):
    y = STILL[number](picture(), jnp.float32(0), jnp.float32(1))
    np.testing.assert_allclose(y, picture(), atol=1e-3)


def test_operations_by_their_formulas():
    x, m, up = picture(), jnp.float32(1), jnp.float32(1)
    np.testing.assert_array_equal(operations.solarize(x, 0 * m, up), x)
    np.testing.assert_array_equal(operations.solarize(x, m, up), 255 - x)
    np.testing.assert_array_equal(operations.posterize(x, m, up), x // 16 * 16)
    np.testing.assert_allclose(
        operations.brightness(x, m, -up), 0.1 * x, rtol=1e-4, atol=1e-3
    )
    shifted = operations.warp(x, jnp.array([[1.0, 0, 3], [0, 1, 0]]))
    np.testing.assert_array_equal(shifted[:-3], x[3:])
    assert (shifted[-3:] == 0).all()
    quarter = operations.warp(x, jnp.array([[0.0, -1, 0], [1, 0, 0]]))
    np.testing.assert_array_equal(quarter, np.rot90(x, -1))


def test_equalize_flattens_a_histogram():
    dark = jnp.asarray(np.arange(64.0).reshape(8, 8, 1))
    y = operations.equalize(dark, jnp.float32(0), jnp.float32(1))
    np.testing.assert_allclose(y.ravel(), np.arange(64) * 255 / 63, rtol=1e-5)


@pytest.mark.parametrize("kind", ["randaugment", "augmix"])
def test_policies_change_images_one_by_one(kind):
    images = jnp.stack([picture()] * 16)
    spec = PolicySpec(kind)
    y = jax.jit(jax.vmap(spec))(KEYS[:16], images)
    assert y.shape == images.shape
    assert float(y.min()) >= 0
    assert float(y.max()) <= 255
    kinds = {np.asarray(one).tobytes() for one in y}
    assert len(kinds) > 8
