"""The host's crops: random ones of the ImageNet recipes, the centre for evaluation."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import crops
from resnet_jax.errors import ConfigError


def ramp(height, width):
    """Channel 0 holds the row and channel 1 the column: a crop shows where it lay."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)[None]
    return image


def rng(seed=0):
    return np.random.default_rng(seed)


def test_scale_jitter_crops_from_every_shorter_side():
    spec = crops.CropSpec(crop="scale", size=32, shorter=(32, 40))
    corners, spans = set(), set()
    for seed in range(200):
        crop = spec.train(ramp(80, 120), rng(seed))
        assert crop.shape == (32, 32, 3)
        corners.add(tuple(crop[0, 0, :2] // 8))
        spans.add(int(crop[-1, 0, 0]) - int(crop[0, 0, 0]))
    # The shorter side 80 becomes 32..40, so 32 rows span 31 * 80 / 40 to 31 * 80 / 32.
    assert min(spans) <= 64 and max(spans) >= 74 and len(corners) > 12
    with pytest.raises(ConfigError, match="must be at least 32"):
        crops.CropSpec(crop="scale", size=32, shorter=(30, 40)).train(
            ramp(80, 80), rng()
        )


def test_area_jitter_covers_its_range():
    spec = crops.CropSpec(crop="area", size=24)
    areas, aspects = [], []
    for seed in range(300):
        crop = spec.train(ramp(200, 200), rng(seed)).astype(float)
        height = np.ptp(crop[..., 0]) * 25 / 24
        width = np.ptp(crop[..., 1]) * 25 / 24
        areas.append(height * width / 200**2)
        aspects.append(width / height)
    assert min(areas) < 0.14 and max(areas) > 0.85
    assert 0.65 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.5


def test_area_jitter_falls_back_to_the_centre():
    image = ramp(4, 250)  # no part of 8 % of the area with aspect 4/3 fits
    spec = crops.CropSpec(crop="area", size=24, area=(0.9, 1.0))
    crop = spec.train(image, rng())
    assert crop.shape == (24, 24, 3)
    assert abs(int(crop[12, 12, 1]) - 125) < 3


def test_evaluation_crops_the_centre_of_the_shorter_side():
    spec = crops.CropSpec(crop="scale", size=40, eval_shorter=50)
    crop = spec.eval(ramp(50, 90))
    np.testing.assert_array_equal(crop, ramp(50, 90)[5:45, 25:65])
    crop = spec.eval(ramp(100, 200))
    assert crop.shape == (40, 40, 3)
    assert abs(int(crop[20, 20, 0]) - 50) <= 2 and abs(int(crop[20, 20, 1]) - 100) <= 2
    grey = spec.eval(ramp(100, 200)[..., :1])
    assert grey.shape == (40, 40, 1)


# A crop is resized alone


def resized_whole(image, size, *, method):
    """An image resized by Pillow, columns before rows."""
    across = Image.fromarray(image).resize((size[1], image.shape[0]), method)
    return np.asarray(across.resize((size[1], size[0]), method))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_crop_is_that_of_the_resized_image(interpolation):
    """But for one or two grey levels in at most 1 % of the pixels, of noise."""
    method, draw = Image.Resampling[interpolation.upper()], rng(2)
    differ = []
    for _ in range(40):
        image = draw.integers(0, 256, (*draw.integers(20, 300, 2), 3), np.uint8)
        size = int(draw.integers(8, 40))
        spec = crops.CropSpec("scale", size, interpolation=interpolation)
        shorter = int(draw.integers(size, 160))
        side = [round(n * shorter / min(image.shape[:2])) for n in image.shape[:2]]
        whole = resized_whole(image, side, method=method).astype(int)
        top, left = (int(draw.integers(0, n - size + 1)) for n in side)
        crop = spec._resized_crop(image, (side[0], side[1]), top=top, left=left)
        differ.append(np.abs(crop - whole[top : top + size, left : left + size]))
        top, left = ((n - size) // 2 for n in side)
        centre = spec._centre_crop(image, shorter)
        differ.append(np.abs(centre - whole[top : top + size, left : left + size]))
    found = np.concatenate([x.ravel() for x in differ])
    assert found.max() <= 2
    assert (found > 0).mean() < 0.01 and (found > 1).mean() < 1e-4


@pytest.mark.parametrize("shape", [(20_000, 2, 3), (2, 20_000, 3)])
@pytest.mark.parametrize("name", crops.PRESETS)
def test_a_narrow_image_needs_no_more_than_itself(shape, name, monkeypatch):
    """Not its 256x2560000 pixels at shorter side 256, from a file of 204 bytes."""
    made, resize = [], Image.Image.resize

    def counted(image, size, *arguments):
        made.append(size[0] * size[1])
        return resize(image, size, *arguments)

    monkeypatch.setattr(Image.Image, "resize", counted)
    spec, image = crops.preset(name), np.zeros(shape, np.uint8)
    assert spec.train(image, rng()).shape == spec.eval(image).shape == (224, 224, 3)
    assert max(made) <= 2 * 224 * 224


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_dtypes_keep_their_range(dtype):
    scale = {"uint16": 257, "float32": 1 / 255}[dtype]
    image = 2 * ramp(60, 90)
    other = (image * np.float64(scale)).astype(dtype)
    for name, spec in crops.PRESETS.items():
        for crop, wide in zip(
            (spec.train(image, rng(1)), spec.eval(image)),
            (spec.train(other, rng(1)), spec.eval(other)),
            strict=True,
        ):
            assert wide.dtype == dtype and wide.shape == (224, 224, 3), name
            assert np.abs(wide / scale - crop).max() < 2  # bytes are rounded twice


def test_presets():
    assert crops.preset("crop_flip").train(ramp(8, 8), rng()).shape == (8, 8, 3)
    assert crops.preset("imagenet_scale").shorter == (256, 480)  # He et al. 2016a, 3.4
    aspect = crops.preset("imagenet_aspect")
    assert (aspect.area, aspect.interpolation) == ((0.08, 1.0), "bicubic")
