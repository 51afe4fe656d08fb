"""Mixed images and erased boxes against the released rules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.data.augment import erasing
from resnet_jax.data.augment.mixing import MixSpec, cutmix_box
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


def released_boxes(size, sides):
    """Boxes around every pixel by the rule of CutMix-PyTorch and Cutout."""
    boxes = set()
    for centre in np.ndindex(*size):
        edges = [
            np.clip([c - side // 2, c + side // 2], 0, extent)
            for c, side, extent in zip(centre, sides, size, strict=True)
        ]
        mask = np.zeros(size, bool)
        mask[edges[0][0] : edges[0][1], edges[1][0] : edges[1][1]] = True
        boxes.add(mask.tobytes())
    return boxes


def test_boxes_of_cutmix_are_those_of_the_released_rule():
    size, keys = (6, 9), jax.random.split(jax.random.key(3), 800)
    boxes = jax.jit(jax.vmap(lambda key, lam: cutmix_box(key, size, lam), (0, None)))
    for lam in (0.0, 0.3, 0.5, 0.9, 1.0):
        cut = np.sqrt(1.0 - lam)
        sides = [int(extent * cut) for extent in size]
        masks = np.asarray(boxes(keys, lam))
        found = {mask.tobytes() for mask in masks}
        assert found == released_boxes(size, sides), lam


@pytest.mark.parametrize("side", [1, 4, 5])
def test_squares_of_cutout_are_those_of_the_released_rule(side):
    keys = jax.random.split(jax.random.key(4), 800)
    cut = jax.vmap(lambda key: erasing.cutout(key, jnp.ones((6, 9, 1)), side=side))
    found = {hole.tobytes() for hole in np.asarray(jax.jit(cut)(keys) == 0)}
    assert found == released_boxes((6, 9), (side, side))


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


def erased(generator, height, width):
    """Top, left, height and width of a box by the rule of Random-Erasing."""
    for _ in range(100):
        area = generator.uniform(0.02, 0.4) * height * width
        ratio = generator.uniform(0.3, 1 / 0.3)
        h, w = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if w < width and h < height:
            top = generator.integers(0, height - h + 1)
            return top, generator.integers(0, width - w + 1), h, w
    raise AssertionError("no box fits")


def test_erased_boxes_are_distributed_as_by_the_released_rule():
    """Means of place and sides over 2000 boxes each, within four standard errors."""
    size, n = (20, 32), 2000
    image = jnp.ones((*size, 1))
    erase = functools.partial(erasing.random_erasing, image=image, probability=1.0)
    keys = jax.random.split(jax.random.key(7), n)
    holes = np.asarray(jax.jit(jax.vmap(lambda key: erase(key)))(keys) == 0)[..., 0]
    rows, columns = holes.any(2), holes.any(1)
    ours = [rows.argmax(1), columns.argmax(1), rows.sum(1), columns.sum(1)]
    generator = np.random.default_rng(0)
    theirs = np.array([erased(generator, *size) for _ in range(n)]).T
    for one, other in zip(ours, theirs, strict=True):
        error = ((one.var() + other.var()) / n) ** 0.5
        assert abs(one.mean() - other.mean()) < 4 * error
