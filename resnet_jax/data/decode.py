"""Decoding of images to the values that tfds's own decoder, TensorFlow's, gives.

Grey, palette, 1-bit, CMYK and transparent images are converted to the declared
channels: grey is repeated, a palette is looked up, alpha is dropped or added as opaque,
and colour becomes grey by ITU-R 601's luma. In a set of uint8, images of 16 bits lose
their low byte; in one of uint16, images of 8 bits are multiplied by 257.
"""

import functools
import io
from typing import cast

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image, ImageFile

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's mode by number of channels
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
NEVER = {"EPS"}  # Pillow has Ghostscript run what is in the file
ANIMATED = ("GIF", "WEBP", "AVIF", "TIFF", "FLI")
GREY = ("1", "L", "I", "I;16", "I;16B")  # Pillow's modes without colour
DTYPES = ("uint8", "uint16", "float32")
# Against decompression bombs, and of a JPEG that is decoded at full size; ImageNet has
# 9e6 at most.
MAX_PIXELS, LARGE = 64 * 1024 * 1024, 16 * 1024 * 1024
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
# Beginnings of other files, which are named in an error: (offset, bytes, kind).
OTHER_FILES = (
    (0, b"II*\0", "a TIFF file"),
    (0, b"MM\0*", "a TIFF file"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 file"),
    (0, b"\x93NUMPY", "a NumPy file"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (4, b"ftypavif", "an AVIF file"),
    (4, b"ftyphei", "a HEIC file"),
    (4, b"ftypmif1", "a HEIC file"),
    (4, b"ftyp", "an MP4 video"),
    (8, b"AVI ", "an AVI video"),
)

# An image, or t frames
Pixels = (
    UInt8[np.ndarray, "*t h w c"]
    | UInt16[np.ndarray, "*t h w c"]
    | Float32[np.ndarray, "*t h w c"]
)


class Unsupported(ValueError):
    """Whole image of a kind that is not read."""


class Undeclared(ValueError):
    """Whole image that is not as its data set declares it."""


@functools.cache
def any_format() -> tuple[str, ...]:
    """Names of the formats that Pillow reads here."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - NEVER))


def suffixes() -> frozenset[str]:
    """Suffixes of the files of these formats, in lower case."""
    known = any_format()
    found = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in found if name in known)


def size(data: bytes, *, formats: tuple[str, ...] = FORMATS) -> tuple[int, int, int]:
    """Height, width and colours, 1 or 3, from the header of an image."""
    with _opened(data, formats) as image:
        return image.height, image.width, 1 if image.mode in GREY else 3


def pixels(
    data: bytes,
    *,
    shape: tuple[int | None, int | None, int],
    dtype: str = "uint8",
    formats: tuple[str, ...] = FORMATS,
) -> Pixels:
    """Decode an image; Unsupported, Undeclared, or Pillow's error where it is damaged.

    The kind of file is found by its content. Float images are stored as the four bytes
    of each value in the channels of an RGBA image, as tfds does. A JPEG of more than
    LARGE pixels and undeclared size is decoded at a half, quarter or eighth of it.
    """
    height, width, channels = shape
    with _opened(data, formats) as image:
        found = (image.height, image.width)
        wanted = (height or found[0], width or found[1])
        if found != wanted:
            raise Undeclared(
                f"image is {found[0]}x{found[1]}, declared as {wanted[0]}x{wanted[1]}"
            )
        if None in shape:
            _reduce(image)
        match dtype:
            case "uint8":
                return eight_bits(image, channels)
            case "uint16":
                return _sixteen_bits(image, channels, data=data)
            case _:
                return _floats(image)


def _opened(data: bytes, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """Read the header of an image of one frame."""
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except Image.UnidentifiedImageError:
        for offset, start, kind in OTHER_FILES:
            if data[offset : offset + len(start)] == start:
                raise Unsupported(f"image is {kind}") from None
        raise
    except Image.DecompressionBombError as error:
        raise Unsupported(f"image is too large ({error})") from None
    if image.width * image.height > MAX_PIXELS:
        raise Unsupported(
            f"image is too large: {image.height}x{image.width} pixels, more than"
            f" {MAX_PIXELS}"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in ANIMATED:
        raise Unsupported(f"image is an animated {image.format} of {frames} frames")
    if image.mode == "F" or (image.format == "TIFF" and image.mode == "I"):
        raise Unsupported(f"image has 32 bits per pixel and channel ({image.mode})")
    return image


def _reduce(image: ImageFile.ImageFile) -> None:
    """Let a large JPEG be decoded at a half, quarter or eighth of its size."""
    width, height = image.size
    for divisor in (2, 4, 8):
        if image.width * image.height > LARGE:
            image.draft(image.mode, (width // divisor, height // divisor))


def eight_bits(image: Image.Image, channels: int) -> UInt8[np.ndarray, "h w c"]:
    """Convert an image to bytes and to a number of channels."""
    mode = MODES[channels]
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if mode == "L" and isinstance(image, ImageFile.ImageFile):
        image.draft("L", None)  # of a JPEG: its luma as stored
    if "transparency" in image.info and image.mode != mode:
        image = image.convert("RGBA")  # else Pillow warns of the loss
    if image.mode != mode:  # `convert` copies even an equal mode
        image = image.convert(mode)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def _sixteen_bits(
    image: ImageFile.ImageFile, channels: int, *, data: bytes
) -> UInt16[np.ndarray, "h w c"]:
    """Decode all bits of an image of 16, or scale one of 8, to a number of channels."""
    raw = str(image.tile[0].args) if image.format == "PNG" else ""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint16)[..., None]
    elif raw == "LA;16B":
        raise Unsupported("image is grey with alpha, of 16 bits")
    elif raw.endswith(";16B"):
        low = cast(ImageFile.ImageFile, Image.open(io.BytesIO(data), formats=("PNG",)))
        # Pillow keeps the high byte of a sample; read as if it were little endian, that
        # is the low one.
        tile = low.tile[0]
        low.tile = [tile._replace(args=f"{raw[:-1]}L")]
        values = np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)
    else:
        return eight_bits(image, channels).astype(np.uint16) * np.uint16(257)
    return _converted(values, channels)


def _floats(image: Image.Image) -> Float32[np.ndarray, "h w 1"]:
    """Take the bytes of four channels as float values, which must be in 0..1."""
    if image.mode != "RGBA":
        raise Undeclared(
            f"image has mode {image.mode}, float images are stored as RGBA"
        )
    values = np.ascontiguousarray(image).view(np.float32)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):  # nor NaN
        raise Unsupported(f"image holds {low} to {high}, must be values in 0..1")
    return values


def _converted(
    values: UInt16[np.ndarray, "h w k"], channels: int
) -> UInt16[np.ndarray, "h w c"]:
    """Convert samples of 16 bits to a number of channels."""
    alpha = values[..., 3:]
    colour = values[..., :3]
    if channels == 1 and colour.shape[-1] == 3:
        colour = np.rint(colour @ np.array(LUMA))[..., None].astype(np.uint16)
    if channels >= 3:
        colour = np.broadcast_to(colour, (*values.shape[:2], 3))
    if channels == 4:
        opaque = np.full((*values.shape[:2], 1), 65535, np.uint16)
        colour = np.concatenate([colour, alpha if alpha.size else opaque], -1)
    return np.ascontiguousarray(colour)
