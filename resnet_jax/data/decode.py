"""Decoding of JPEG and PNG images."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's mode by number of channels
FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 64 * 1024 * 1024  # against decompression bombs; ImageNet has 9e6 at most

Pixels = UInt8[np.ndarray, "*t h w c"]  # an image, or t frames


def pixels(data: bytes, *, shape: tuple[int | None, int | None, int]) -> Pixels:
    """Decode an image; ValueError or Pillow's error where it is not as declared.

    With a declared size, size and channels must match exactly. Without one (ImageNet)
    grey, palette and CMYK images are converted to the declared channels.
    """
    height, width, channels = shape
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        found = (image.height, image.width)
        if found[0] * found[1] > MAX_PIXELS:
            raise ValueError(f"image of {found[0]}x{found[1]} pixels is too large")
        wanted = (height or found[0], width or found[1])
        fixed = height is not None and width is not None
        if found != wanted or (fixed and image.mode != MODES[channels]):
            raise ValueError(
                f"image is {found[0]}x{found[1]} in mode {image.mode}, must be"
                f" {wanted[0]}x{wanted[1]} in mode {MODES[channels]}"
            )
        if image.mode != MODES[channels]:  # `convert` copies even an equal mode
            image = image.convert(MODES[channels])
        return np.asarray(image, np.uint8).reshape(*found, channels)
