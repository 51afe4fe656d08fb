"""Bytes to pixels, as tfds decodes them, whatever the kind of file and its depth."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tinyset
from PIL import Image

from resnet_jax.data import decode


def ramp(height, width):
    """Channel 0 holds the row and channel 1 the column: a crop shows where it lay."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)[None]
    return image


def saved(image, kind="png", **kwargs):
    """An image of Pillow as a file."""
    file = io.BytesIO()
    image.save(file, format=kind.upper(), **kwargs)
    return file.getvalue()


def test_png_is_exact_and_jpeg_is_near():
    image = ramp(20, 30)
    got = decode.pixels(tinyset.encoded(image), shape=(20, 30, 3))
    np.testing.assert_array_equal(got, image)
    got = decode.pixels(tinyset.encoded(image, "jpeg"), shape=(None, None, 3))
    assert np.abs(got.astype(int) - image).mean() < 5


RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), np.uint8)
COLOUR, FOUR = (RNG.integers(0, 256, (5, 7, c), np.uint8) for c in (3, 4))
PALETTE = Image.fromarray(GREY % 4, mode="P")
PALETTE.putpalette(COLOUR[0, :4].ravel().tolist())
BITS = Image.fromarray(GREY > 127)
LUMA = np.rint(COLOUR @ [0.299, 0.587, 0.114])


@pytest.mark.parametrize(
    ("file", "channels"),
    [
        (tinyset.encoded(GREY), 1),
        (tinyset.encoded(GREY), 3),
        (tinyset.encoded(COLOUR), 3),
        (tinyset.encoded(COLOUR, "jpeg"), 3),
        (tinyset.encoded(GREY, "jpeg"), 3),
        (tinyset.encoded(FOUR), 4),
        (tinyset.encoded(COLOUR, "bmp"), 3),
    ],
)
def test_pixels_are_those_of_tfds(file, channels):
    feature = tfds.features.Image(shape=(5, 7, channels))
    expected = feature.decode_example_np(file)
    for shape in ((5, 7, channels), (None, None, channels)):
        np.testing.assert_array_equal(decode.pixels(file, shape=shape), expected)


OPAQUE = np.full((5, 7, 1), 255, np.uint8)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (tinyset.encoded(FOUR), FOUR[..., :3]),
        (tinyset.encoded(COLOUR), np.concatenate([COLOUR, OPAQUE], -1)),
        (tinyset.encoded(COLOUR), LUMA[..., None]),
        (saved(PALETTE), COLOUR[0][GREY % 4]),
        (saved(PALETTE, transparency=1), COLOUR[0][GREY % 4]),
        (saved(PALETTE, transparency=b"\0\1\2"), COLOUR[0][GREY % 4]),
        (saved(BITS), np.repeat(255 * (GREY > 127)[..., None], 3, -1)),
        (saved(Image.fromarray(GREY), transparency=3), GREY[..., None]),
        (saved(Image.merge("LA", [Image.fromarray(GREY)] * 2)), GREY[..., None]),
        (saved(Image.fromarray(COLOUR), "webp", lossless=True), COLOUR),
        (saved(Image.fromarray(GREY), "gif"), np.repeat(GREY[..., None], 3, -1)),
    ],
)
def test_channels_become_the_declared_ones(file, expected):
    got = decode.pixels(file, shape=(5, 7, expected.shape[-1]))
    assert got.dtype == np.uint8
    # Pillow rounds the luma of 16-bit weights.
    np.testing.assert_allclose(got, expected, atol=1 if expected is LUMA else 0)


def test_grey_of_a_jpeg_is_its_luma_as_stored():
    file = tinyset.encoded(ramp(32, 32), "jpeg")
    luma, *_ = Image.open(io.BytesIO(file)).convert("YCbCr").split()
    got = decode.pixels(file, shape=(32, 32, 1)).astype(int)
    assert np.abs(got[..., 0] - np.asarray(luma)).max() <= 1


# Kinds and sizes that are refused


def moving(kind):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (saved(Image.fromarray(GREY), "tiff"), "image is a TIFF file"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image is an AVIF file"),
        (b"\0\0\0\x20ftypisom\0\0\2\0", "image is an MP4 video"),
        (moving("gif"), "image is an animated GIF of 2 frames"),
        (moving("webp"), "image is an animated WEBP of 2 frames"),
    ],
)
def test_other_files_are_named(file, message):
    with pytest.raises(decode.Unsupported, match=message):
        decode.pixels(file, shape=(5, 7, 3))


def test_damage_and_another_size_than_declared_are_told_apart():
    whole = tinyset.encoded(COLOUR)
    with pytest.raises(decode.Undeclared, match="image is 5x7, declared as 5x8"):
        decode.pixels(whole, shape=(5, 8, 3))
    assert decode.pixels(whole, shape=(5, None, 3)).shape == (5, 7, 3)
    for file in (whole[:60], b"", b"<html>"):
        with pytest.raises(OSError):
            decode.pixels(file, shape=(5, 7, 3))


def test_a_large_jpeg_is_decoded_at_a_half(monkeypatch):
    image = np.kron(ramp(8, 8), np.ones((8, 8, 1), np.uint8)) * 30
    file = tinyset.encoded(image, "jpeg")
    monkeypatch.setattr(decode, "LARGE", 32 * 32)
    got = decode.pixels(file, shape=(None, None, 3))
    assert got.shape == (32, 32, 3)
    halves = image.reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(got - halves).mean() < 3
    assert decode.pixels(file, shape=(64, 64, 3)).shape == (64, 64, 3)


# Depth


def png16(samples):
    """A PNG of 16 bits, its rows filtered by each of the five filters in turn."""
    height, width, channels = samples.shape
    step, rows = 2 * channels, samples.astype(">u2").reshape(height, -1).view(np.uint8)
    lines = []
    for i, row in enumerate(rows.astype(int)):
        above = rows[i - 1].astype(int) if i else np.zeros_like(row)
        left, corner = (np.roll(x, step) for x in (row, above))
        left[:step] = corner[:step] = 0
        guess = left + above - corner
        near = np.argmin([abs(guess - x) for x in (left, above, corner)], 0)
        paeth = np.choose(near, [left, above, corner])
        shift = [0, left, above, (left + above) // 2, paeth][i % 5]
        lines.append(bytes([i % 5]) + ((row - shift) % 256).astype(np.uint8).tobytes())
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(b"".join(lines)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x))
        for name, x in parts.items()
    )


DEEP = {c: RNG.integers(0, 65536, (7, 9, c), np.uint16) for c in (1, 2, 3, 4)}


@pytest.mark.parametrize("stored", [1, 3, 4])
def test_sixteen_bits_are_read_whole(stored):
    file, whole = png16(DEEP[stored]), DEEP[stored]
    colour = np.repeat(whole, 3, -1) if stored == 1 else whole[..., :3]
    alpha = whole[..., 3:] if stored == 4 else np.full((7, 9, 1), 65535)
    grey = whole if stored == 1 else np.rint(colour @ [0.299, 0.587, 0.114])[..., None]
    expected = {1: grey, 3: colour, 4: np.concatenate([colour, alpha], -1)}
    for channels, values in expected.items():
        got = decode.pixels(file, shape=(7, 9, channels), dtype="uint16")
        assert got.dtype == np.uint16
        np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("stored", [1, 2, 3, 4])
def test_of_sixteen_bits_a_set_of_eight_keeps_the_high_byte(stored):
    colour = (
        DEEP[stored][..., :3] if stored > 2 else np.repeat(DEEP[stored][..., :1], 3, -1)
    )
    got = decode.pixels(png16(DEEP[stored]), shape=(7, 9, 3))
    np.testing.assert_array_equal(got, colour >> 8)


def test_the_mean_of_a_deep_grey_image_is_that_of_its_high_bytes():
    values = np.arange(255, dtype=np.uint16).reshape(15, 17, 1) * 257
    assert values.mean() == 127 * 257
    assert decode.pixels(png16(values), shape=(15, 17, 1)).mean() == 127


def test_eight_bits_fill_the_range_of_sixteen():
    got = decode.pixels(tinyset.encoded(COLOUR), shape=(5, 7, 3), dtype="uint16")
    np.testing.assert_array_equal(got, COLOUR.astype(int) * 257)
    with pytest.raises(decode.Unsupported, match="grey with alpha, of 16 bits"):
        decode.pixels(png16(DEEP[2]), shape=(7, 9, 3), dtype="uint16")


def test_floats_are_the_bytes_of_four_channels():
    values = RNG.random((5, 7, 1), np.float32)
    file = saved(Image.fromarray(values.view(np.uint8)))
    feature = tfds.features.Image(shape=(5, 7, 1), dtype=np.float32)
    got = decode.pixels(file, shape=(5, 7, 1), dtype="float32")
    np.testing.assert_array_equal(got, values)
    np.testing.assert_array_equal(feature.decode_example_np(file), values)
    for wrong in (-0.5, 255.0, np.nan):
        other = np.where(np.arange(7)[:, None] == 3, np.float32(wrong), values)
        file = saved(Image.fromarray(other.view(np.uint8)))
        with pytest.raises(decode.Unsupported, match=r"must be values in 0\.\.1"):
            decode.pixels(file, shape=(5, 7, 1), dtype="float32")
    with pytest.raises(decode.Undeclared, match="mode RGB, float images are stored"):
        decode.pixels(tinyset.encoded(COLOUR), shape=(5, 7, 1), dtype="float32")
