"""Augmentation and normalisation against NumPy, keyed by (key, row) alone."""

import functools
import itertools

import jax
import numpy as np
import pytest
import tinyset

from resnet_jax.data.augment import standard as augment
from resnet_jax.data.statistics import statistics
from resnet_jax.errors import ConfigError

IMAGES = tinyset.images(24, (6, 6, 3))
STATS = statistics(IMAGES)
ROWS = np.arange(24, dtype=np.int32)


def apply(spec, *, images=IMAGES, rows=ROWS, seed=0, train=True, stats=None):
    batch = {"image": images, "row": rows}
    preprocess = compiled(spec) if stats is None else augment.build(spec, stats)
    return np.asarray(preprocess(jax.random.key(seed), batch, train=train))


@functools.cache  # one compilation for the calls of equal shape
def compiled(spec):
    return jax.jit(augment.build(spec, STATS), static_argnames="train")


def normalized(images=IMAGES, stats=STATS):
    return (images - stats["channel_mean"]) / stats["channel_std"]


def close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)


def test_statistics_are_exact():
    exact = IMAGES.astype(np.float64)
    np.testing.assert_allclose(STATS["pixel_mean"], exact.mean(0), rtol=1e-15)
    np.testing.assert_allclose(STATS["channel_mean"], exact.mean((0, 1, 2)), rtol=1e-15)
    np.testing.assert_allclose(STATS["channel_std"], exact.std((0, 1, 2)), rtol=1e-12)


def test_evaluation_normalises_and_does_nothing_else():
    for name in ("none", "crop_flip_channel", "imagenet_aspect"):
        close(apply(augment.preset(name), train=False), normalized())
    pixel_mean = (IMAGES - IMAGES.mean(0)) / 255
    close(apply(augment.preset("crop_flip"), train=False), pixel_mean)
    plain = augment.AugmentSpec(normalize="none")
    close(apply(plain, train=False), IMAGES / 255)
    close(apply(plain), IMAGES / 255)


def test_a_constant_channel_stays_finite():
    flat = np.full((4, 3, 3, 1), 7, np.uint8)
    out = apply(
        augment.preset("none"),
        images=flat,
        rows=ROWS[:4],
        stats=statistics(flat),
    )
    assert (out == 0).all()


@pytest.mark.parametrize("name", ["crop_flip", "crop_flip_channel", "crop"])
def test_a_crop_is_one_window_of_the_padded_image(name):
    spec = augment.preset(name)
    clean = apply(spec, train=False)
    pad = spec.crop_pad
    # The padding is zero after the normalisation: the mean image, not black.
    padded = np.pad(clean, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    mirrors = [False, True] if spec.flip == "horizontal" else [False]
    out = apply(spec)
    for image, wide in zip(out, padded, strict=True):
        windows = [
            (wide[:, ::-1] if mirror else wide)[i : i + 6, j : j + 6]
            for i, j in itertools.product(range(2 * pad + 1), repeat=2)
            for mirror in mirrors
        ]
        assert any(np.abs(image - window).max() < 2e-5 for window in windows)


def test_shifts_and_flips_are_uniform():
    n = 3600
    mark = np.zeros((1, 5, 5, 1), np.uint8)
    mark[0, 2, 1] = 255
    stats = {"pixel_mean": np.zeros((5, 5, 1)), "channel_mean": np.zeros(1)}
    spec = augment.AugmentSpec(crop_pad=1, flip="horizontal", normalize="pixel_mean")
    out = apply(
        spec,
        images=np.repeat(mark, n, 0),
        rows=np.arange(n, dtype=np.int32),
        stats=stats,
    )
    # 3 x 3 shifts of a mark at column 1, or 3 when mirrored: they overlap at column 2.
    counts = out[..., 0].sum(0) / n * 18
    expected = np.zeros((5, 5))
    expected[1:4] = [1, 1, 2, 1, 1]
    np.testing.assert_allclose(counts, expected, atol=0.35)


def test_reflection_pads_with_the_image():
    spec = augment.AugmentSpec(crop_pad=4, fill="reflect", normalize="none")
    padded = np.pad(IMAGES / 255, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    out = apply(spec)
    for image, wide in zip(out, padded, strict=True):
        windows = [
            wide[i : i + 6, j : j + 6] for i, j in itertools.product(range(9), repeat=2)
        ]
        assert any(np.abs(image - window).max() < 2e-5 for window in windows)


@pytest.mark.parametrize("name", ["crop_flip", "imagenet_aspect"])
def test_an_example_depends_on_its_row_not_on_its_neighbours(name):
    spec = augment.preset(name)
    whole = apply(spec)
    parts = [
        apply(spec, images=IMAGES[s], rows=ROWS[s])
        for s in (slice(0, 8), slice(8, 16), slice(16, 24))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(apply(spec), whole)
    assert not np.array_equal(apply(spec, seed=1), whole)


def sequential(image, *, order, b, c, s):
    """fb.resnet.torch's jitter, one blend after the other."""
    for step in order:
        grey = (image @ np.array(augment.LUMA))[..., None]
        target, weight = {
            "brightness": (np.zeros_like(image), b),
            "contrast": (np.full_like(image, grey.mean()), c),
            "saturation": (grey, s),
        }[step]
        image = weight * image + (1 - weight) * target
    return image


def test_colour_jitter_equals_the_blends_in_any_order():
    key = jax.random.key(4)
    uniform = jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0)
    b, c, s = (float(x) for x in 1 + 0.4 * uniform)
    image = IMAGES[0].astype(np.float32)
    got = augment.jitter_colour(key, jax.numpy.asarray(image), strength=0.4)
    for order in itertools.permutations(("brightness", "contrast", "saturation")):
        expected = sequential(image.astype(np.float64), order=order, b=b, c=c, s=s)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


def test_lighting_adds_one_colour_along_the_components():
    key = jax.random.key(2)
    image = jax.numpy.asarray(IMAGES[0], jax.numpy.float32)
    added = np.asarray(augment.jitter_lighting(key, image, strength=0.1)) - image
    alpha = 0.1 * np.asarray(jax.random.normal(key, (3,)), np.float64)
    colour = np.array(augment.PCA_VECTORS) @ (alpha * np.array(augment.PCA_VALUES))
    np.testing.assert_allclose(added, np.tile(255 * colour, (6, 6, 1)), atol=1e-3)
    vectors = np.array(augment.PCA_VECTORS)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)


def test_grey_images_have_no_colour_to_jitter():
    grey = statistics(IMAGES[..., :1])
    with pytest.raises(ConfigError, match=r"jitters colour.*1 channel"):
        augment.build(augment.preset("imagenet_aspect"), grey)


def test_an_unknown_recipe_is_named():
    with pytest.raises(
        ConfigError, match=r"data.augment='cropflip': must be one of none"
    ):
        augment.preset("cropflip")
