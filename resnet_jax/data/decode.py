"""Image bytes to pixels, and the crops of the ImageNet recipes on the host."""

import dataclasses
import io
import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from resnet_jax.errors import ConfigError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 64 * 1024 * 1024  # ImageNet's largest has 9 million; a bomb has billions
Pixels = UInt8[np.ndarray, "h w c"]
Crop = UInt8[np.ndarray, "crop_h crop_w c"]


def pixels(data: bytes, *, shape: tuple[int | None, int | None, int]) -> Pixels:
    """Decode a JPEG or PNG; ValueError, or Pillow's own, where it is not as declared.

    With a declared size the image must match it and its channels exactly: what differs
    is damage. Without one (ImageNet) grey, palette and CMYK images become colour.
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
        if image.mode != MODES[channels]:  # `convert` copies where it need not
            image = image.convert(MODES[channels])
        return np.asarray(image, np.uint8).reshape(*found, channels)


@dataclasses.dataclass(frozen=True)
class CropSpec:
    """How the host turns an image of any size into size x size pixels.

    "scale": shorter side uniform in `shorter`, then a random crop (He et al. 2016a,
    section 3.4). "area": a random part of the area and aspect, resized (Szegedy et al.
    2015; fb.resnet.torch). Evaluation takes the centre of shorter side `eval_shorter`.
    "none" passes images of a fixed size through.
    """

    crop: Literal["none", "scale", "area"] = "none"
    size: int = 224
    shorter: tuple[int, int] = (256, 480)
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    eval_shorter: int = 256
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    @property
    def train(self) -> Callable[[Pixels, np.random.Generator], Crop]:
        """image, generator -> image, for training."""
        crops = {"none": _as_is, "scale": self._scale, "area": self._area}
        return crops[self.crop]

    def eval(self, image: Pixels) -> Crop:
        """The centre crop."""
        return image if self.crop == "none" else self._centre(image, self.eval_shorter)

    def _scale(self, image, rng):
        low, high = self.shorter
        if low < self.size:
            raise ConfigError(f"shorter={self.shorter}: must be at least {self.size}")
        image = self._shorter(image, low + int(rng.random() * (high - low + 1)))
        top, left = (int(rng.random() * (n - self.size + 1)) for n in image.shape[:2])
        return image[top : top + self.size, left : left + self.size]

    def _area(self, image, rng):
        height, width = image.shape[:2]
        for _ in range(10):
            area = height * width * _uniform(rng, *self.area)
            aspect = _uniform(rng, *self.aspect)
            w, h = (
                round(math.sqrt(area * aspect)),
                round(math.sqrt(area / aspect)),
            )
            if rng.random() < 0.5:
                w, h = h, w
            if 0 < h <= height and 0 < w <= width:
                top = int(rng.random() * (height - h + 1))
                left = int(rng.random() * (width - w + 1))
                part = image[top : top + h, left : left + w]
                return self._resize(part, self.size, self.size)
        return self._centre(image, self.size)

    def _centre(self, image, shorter):
        image = self._shorter(image, shorter)
        top, left = ((n - self.size) // 2 for n in image.shape[:2])
        return image[top : top + self.size, left : left + self.size]

    def _shorter(self, image, shorter):
        """Resize so that the shorter side has `shorter` pixels, keeping the aspect."""
        height, width = image.shape[:2]
        scale = shorter / min(height, width)
        return self._resize(image, round(height * scale), round(width * scale))

    def _resize(self, image, height, width):
        method = Image.Resampling[self.interpolation.upper()]
        # PIL knows a grey image as two axes
        source = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        resized = np.asarray(source.resize((width, height), method))
        return resized.reshape(height, width, image.shape[-1])


def _as_is(image, rng):
    return image


def _uniform(rng, low, high):
    return low + (high - low) * rng.random()


def preset(name: str) -> CropSpec:
    """The host's share of the augmentation called `name` in `augment.preset`."""
    specs = {
        "imagenet_scale": CropSpec(crop="scale"),
        "imagenet_aspect": CropSpec(crop="area", interpolation="bicubic"),
    }
    return specs.get(name, CropSpec())
