"""Policies and their operations against Pillow, torchvision and the released rules."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import make_policies
from PIL import Image

from resnet_jax.data.augment import affine, operations, policies
from resnet_jax.data.augment.policies import AUGMIX, RANDAUGMENT

KEYS = jax.random.split(jax.random.key(0), 3000)


@functools.cache  # a compilation for the calls of equal shape
def compiled(name):
    return jax.jit(jax.vmap(policies.POLICIES[name]()))


@pytest.fixture(scope="module")
def stored():
    with np.load(make_policies.ARRAYS) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def pictures(stored):
    return make_policies.pictures(stored)


# In floating point, whose last bit depends on what a compiler fuses.
FLOAT = {
    "colour", "contrast", "brightness", "sharpness", "rotate, bilinear",
    "shear_x, bilinear", "shear_y, bilinear",
}  # fmt: skip


def test_operations_differ_by_a_grey_level_at_most():
    """From torchvision and Pillow, and as the table of the docs says."""
    found = make_policies.differences()
    print(make_policies.table(found))
    documented = make_policies.documented()
    assert found.keys() == documented.keys()
    for cell, (gap, share) in found.items():
        assert gap <= max(documented[cell], cell[0] in FLOAT), cell
        assert share < 0.001, cell
    assert max(documented.values()) <= 1
    names = {name for name, _ in found} | {"identity"}
    assert names >= {*RANDAUGMENT, *AUGMIX, *operations.POINTWISE}


def test_the_arrays_are_those_of_pillow(stored, pictures):
    """Of the small pictures, by the Pillow that is installed."""
    for name in ("noise", "shapes"):
        for case in make_policies.CASES:
            made = make_policies.by_pillow(Image.fromarray(pictures[name]), *case)
            np.testing.assert_array_equal(made, stored[make_policies.key(case, name)])


def test_magnitudes_are_those_of_torchvision(stored):
    """m of 30 there is m / 3 here; translations are to the left and upwards here."""
    for magnitude in make_policies.MAGNITUDES:
        theirs = stored[f"space/224/{magnitude}"]
        arguments, _ = policies.RandAugmentSpec(2, magnitude / 3).tables(224, 224)
        theirs = dict(zip(TORCHVISION, theirs, strict=True))
        for name, (minus, plus) in zip(RANDAUGMENT, arguments, strict=True):
            value = theirs[name]
            if name in ("colour", "contrast", "brightness", "sharpness"):
                assert (minus, plus) == pytest.approx((1 - value, 1 + value))
            elif name.startswith("translate"):
                assert (minus, plus) == (-int(value), int(value))
            elif name in ("rotate", "shear_x", "shear_y"):
                assert (minus, plus) == pytest.approx((-value, value))
            else:
                assert (minus, plus) == pytest.approx((value, value))


# The order of torchvision's operations.
TORCHVISION = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate",
    "brightness", "colour", "contrast", "sharpness", "posterize", "solarize",
    "autocontrast", "equalize",
)  # fmt: skip


def test_translations_by_the_size_of_the_image():
    """At most 10 of 32 pixels as AutoAugment's for CIFAR, 150 of 331 as ImageNet's."""
    found = {}
    for side in (32, 224):
        arguments, _ = policies.RandAugmentSpec(1, 10.0).tables(side, 2 * side)
        found[side] = [arguments[RANDAUGMENT.index(f"translate_{a}")][1] for a in "yx"]
    assert found == {32: [10, 29], 224: [101, 203]}


def batch(picture, n=48):
    return jnp.broadcast_to(jnp.float32(picture), (n, *picture.shape))


def test_a_policy_equals_pillows_operations(pictures):
    """RandAugment, jitted and over a batch, is the drawn operations in sequence."""
    spec, keys, picture = policies.RandAugmentSpec(), KEYS[:48], pictures["shapes"]
    ours = np.asarray(compiled("randaugment")(keys, batch(picture)))
    arguments, _ = spec.tables(32, 32)
    gaps = []
    for key, found in zip(keys, ours, strict=True):
        image = Image.fromarray(picture)
        for k in jax.random.split(key, spec.operations):
            number, sign = map(int, spec.drawn(k))
            if (name := RANDAUGMENT[number]) != "identity":
                argument = arguments[number, sign].item()
                argument = int(argument) if name == "posterize" else argument
                image = make_policies.by_pillow(image, "nearest", name, argument)
        gaps.append(np.abs(found - np.asarray(image)).max())
    assert max(gaps) <= 1
    assert np.mean(gaps) < 0.2


def test_images_of_more_bits_are_rounded(pictures):
    images = batch(pictures["noise"])
    exact, other = (
        compiled("randaugment")(KEYS[:48], images + rest) for rest in (0, 0.4)
    )
    np.testing.assert_array_equal(exact, other)


def test_augmix_changes_images_one_by_one(pictures):
    changed = np.asarray(compiled("augmix")(KEYS[:48], batch(pictures["shapes"])))
    assert changed.min() >= 0 and changed.max() <= 255
    assert len({one.tobytes() for one in changed}) == 48


def test_frames_of_a_clip_get_one_draw(pictures):
    clip = jnp.float32(pictures["noise"])[None, :8, :8].repeat(3, 0)
    changed = jax.jit(jax.vmap(policies.RandAugmentSpec(1), (0, None)))(KEYS[:9], clip)
    np.testing.assert_array_equal(changed, changed[:, :1].repeat(3, 1))
    assert len({np.asarray(one).tobytes() for one in changed}) > 4


def test_operations_of_augmix_equal_pillows(pictures):
    """Arguments by the integer rules of google-research/augmix, in float64."""
    spec, keys, picture = (
        policies.AugMixSpec(severity=10.0),
        KEYS[:64],
        pictures["noise"],
    )
    image = jnp.float32(picture)
    ours = jax.jit(jax.vmap(spec.operation, (0, None)))(keys, image)
    drawn = jax.vmap(spec.drawn)(keys)
    seen, gaps = set(), []
    for found, number, level, sign in zip(ours, *map(np.float64, drawn), strict=True):
        name = AUGMIX[int(number)]
        argument = {
            "posterize": 4 - int(level * 4 / 10),
            "rotate": int(level * 30 / 10) * sign,
            "solarize": 256 - int(level * 256 / 10),
        }.get(name, level * 0.3 / 10 * sign)
        if name.startswith("translate"):
            argument = int(level * (32 / 3) / 10) * sign
        made = make_policies.by_pillow(
            Image.fromarray(picture), "bilinear", name, argument
        )
        gaps.append(np.abs(np.asarray(found) - np.asarray(made)).max())
        seen.add(name)
    assert seen == {*AUGMIX}
    assert max(gaps) <= 1


def chi_square(counts):
    """Pearson's statistic of counts against equal ones."""
    counts = np.asarray(counts, float)
    return ((counts - counts.mean()) ** 2 / counts.mean()).sum()


def test_randaugment_draws_operations_and_signs_uniformly():
    number, sign = jax.vmap(policies.RandAugmentSpec().drawn)(KEYS)
    counts = np.bincount(2 * np.asarray(number) + np.asarray(sign), minlength=28)
    assert chi_square(counts) < 55.5  # 0.1 % of 27 degrees of freedom


def test_augmix_draws_levels_from_a_tenth_to_its_severity():
    number, level, sign = map(np.asarray, jax.vmap(policies.AugMixSpec().drawn)(KEYS))
    cell = 2 * number + (sign > 0)
    assert chi_square(np.bincount(cell, minlength=18)) < 40.8  # 0.1 % of 17
    assert level.min() >= 0.1 and level.max() < 3
    bins = np.histogram(level, bins=10, range=(0.1, 3))[0]
    assert chi_square(bins) < 27.9  # 0.1 % of 9


@pytest.fixture
def counting(monkeypatch):
    """Operations of AugMix that add one to an image."""

    def adding(self, key, image):
        return image + 1

    monkeypatch.setattr(policies.AugMixSpec, "operation", adding)


def added(spec, n=1500):
    draw = jax.jit(jax.vmap(spec, (0, None)))
    return np.asarray(draw(KEYS[:n], jnp.zeros((1, 1, 1)))).ravel()


def test_augmix_draws_lengths_of_one_to_three(counting):
    """E (sum w l)^2 = 4 + var(l) 2 / (width + 1), E (1 - m)^2 = 1/3, of 3 chains."""
    found = added(policies.AugMixSpec(), 3000)
    assert abs(found.mean() - 1) < 4 * found.std() / len(found) ** 0.5
    np.testing.assert_allclose(found.var(), (4 + 2 / 3 / 2) / 3 - 1, rtol=0.07)


def test_augmix_of_a_fixed_length_is_a_share_of_its_chains(counting):
    """Of length d, d (1 - m) with m ~ Beta(alpha, alpha)."""
    share = added(policies.AugMixSpec(width=2, depth=4, alpha=0.3)) / 4
    assert abs(share.mean() - 0.5) < 0.04
    np.testing.assert_allclose(share.var(), 1 / (4 * (2 * 0.3 + 1)), rtol=0.1)


def test_images_of_one_channel_and_unequal_sides(pictures):
    """By Pillow, as grey images."""
    picture = pictures["noise"][:20, :, 0]
    image = jnp.float32(picture)[..., None]
    for name, (argument, *_) in make_policies.NEAREST.items():
        made = make_policies.by_pillow(
            Image.fromarray(picture), "nearest", name, argument
        )
        found = np.asarray(make_policies.by_jax(image, "nearest", name, argument))
        assert np.abs(found[..., 0] - np.asarray(made)).max() <= 1, name


def test_constant_images_stay(pictures):
    """Histograms of one level, and of fewer pixels than a step needs."""
    flat = jnp.full((9, 9, 3), 7.0)
    for image in (flat, jnp.float32(pictures["noise"][:8, :8])):
        same = jax.jit(operations.equalize)(image, jnp.float32(0))
        np.testing.assert_array_equal(same, image)
    same = jax.jit(operations.autocontrast)(flat, jnp.float32(0))
    np.testing.assert_array_equal(same, flat)


def test_maps_at_the_border():
    """A rotation by 90 degrees anticlockwise; rows beyond the image are black."""
    image = jnp.arange(48.0).reshape(4, 4, 3)
    turn = affine.fixed_point(affine.rotation(90, 4, 4))
    np.testing.assert_array_equal(affine.nearest(image, turn), np.rot90(image))
    up = affine.fixed_point(affine.translation_y(1))
    moved = affine.nearest(image, up)
    np.testing.assert_array_equal(moved[:-1], image[1:])
    assert (moved[-1] == 0).all()
