"""Bytes to pixels."""

import numpy as np
import pytest
import tinyset
from PIL import Image

from resnet_jax.data import decode


def ramp(height, width):
    """Channel 0 holds the row and channel 1 the column: a crop shows where it lay."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)[None]
    return image


def test_png_is_exact_and_jpeg_is_near():
    image = ramp(20, 30)
    got = decode.pixels(tinyset.encoded(image), shape=(20, 30, 3))
    np.testing.assert_array_equal(got, image)
    got = decode.pixels(tinyset.encoded(image, "jpeg"), shape=(None, None, 3))
    assert np.abs(got.astype(int) - image).mean() < 5


def test_modes_are_converted_only_where_no_size_is_declared():
    grey = tinyset.encoded(np.full((4, 5), 9, np.uint8))
    assert decode.pixels(grey, shape=(4, 5, 1)).shape == (4, 5, 1)
    assert (decode.pixels(grey, shape=(None, None, 3)) == 9).all()
    with pytest.raises(ValueError, match="4x5 in mode L, must be 4x5 in mode RGB"):
        decode.pixels(grey, shape=(4, 5, 3))


def test_other_formats_are_not_decoded():
    with pytest.raises(Image.UnidentifiedImageError):
        decode.pixels(tinyset.encoded(ramp(4, 4), "bmp"), shape=(4, 4, 3))
