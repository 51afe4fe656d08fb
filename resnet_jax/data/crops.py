"""Crops on the host: random crops of the ImageNet recipes, centre crops."""

import dataclasses
import math
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

from resnet_jax.data.decode import Pixels
from resnet_jax.errors import ConfigError

Crop: TypeAlias = (
    UInt8[np.ndarray, "*t crop_h crop_w c"]
    | UInt16[np.ndarray, "*t crop_h crop_w c"]
    | Float32[np.ndarray, "*t crop_h crop_w c"]
)
ATTEMPTS = 10  # random areas drawn until one fits (fb.resnet.torch)
SUPPORT = 2  # source pixels at each side of a bicubic filter, which has the widest


@dataclasses.dataclass(frozen=True)
class CropSpec:
    """Square crop of `size` pixels from an image of any size.

    "scale"  shorter side uniform in `shorter`, then a random crop (He et al. 2016a,
             section 3.4)
    "area"   random area and aspect ratio, resized (Szegedy et al. 2015;
             fb.resnet.torch)
    "none"   the whole image, for images of a fixed size

    Evaluation takes the centre crop at shorter side `eval_shorter`. Only the part of an
    image that the crop shows is resized, which needs no more memory than the image: of
    2x20000 pixels, 256x2560000 would be resized otherwise.
    """

    crop: Literal["none", "scale", "area"] = "none"
    size: int = 224
    shorter: tuple[int, int] = (256, 480)
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    eval_shorter: int = 256
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def train(self, image: Pixels, rng: np.random.Generator) -> Crop:
        """Draw a random crop for training."""
        match self.crop:
            case "none":
                return image
            case "scale":
                return self._scale_crop(image, rng)
            case "area":
                return self._area_crop(image, rng)

    def eval(self, image: Pixels) -> Crop:
        """Take the centre crop for evaluation."""
        if self.crop == "none":
            return image
        return self._centre_crop(image, self.eval_shorter)

    def _scale_crop(self, image: Pixels, rng: np.random.Generator) -> Crop:
        low, high = self.shorter
        if low < self.size:
            raise ConfigError(f"shorter={self.shorter}: must be at least {self.size}")
        size = _scaled_size(image, low + int(rng.random() * (high - low + 1)))
        top, left = (int(rng.random() * (n - self.size + 1)) for n in size)
        return self._resized_crop(image, size, top=top, left=left)

    def _area_crop(self, image: Pixels, rng: np.random.Generator) -> Crop:
        height, width = image.shape[:2]
        for _ in range(ATTEMPTS):
            area = height * width * _uniform(rng, *self.area)
            aspect = _uniform(rng, *self.aspect)
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if rng.random() < 0.5:
                w, h = h, w
            if 0 < h <= height and 0 < w <= width:
                top = int(rng.random() * (height - h + 1))
                left = int(rng.random() * (width - w + 1))
                part = image[top : top + h, left : left + w]
                return self._resize(part)
        return self._centre_crop(image, self.size)

    def _centre_crop(self, image: Pixels, shorter: int) -> Crop:
        size = _scaled_size(image, shorter)
        top, left = ((n - self.size) // 2 for n in size)
        return self._resized_crop(image, size, top=top, left=left)

    def _resized_crop(
        self, image: Pixels, size: tuple[int, int], *, top: int, left: int
    ) -> Crop:
        """Crop of the image resized to `size`, height and width, at a corner.

        Columns are resized before rows, as Pillow does with most whole images: the crop
        is that of the resized image but for one or two grey levels in at most 1 % of
        the pixels, where the two round otherwise.
        """
        rows = _window(top, self.size, length=image.shape[0], resized=size[0])
        columns = _window(left, self.size, length=image.shape[1], resized=size[1])
        part = image[rows.first : rows.end, columns.first : columns.end]
        height = rows.end - rows.first
        across = (columns.low, 0, columns.high, height)
        down = (0, rows.low, self.size, rows.high)
        method = Image.Resampling[self.interpolation.upper()]
        planes = [
            plane.resize((self.size, height), method, across).resize(
                (self.size, self.size), method, down
            )
            for plane in _planes(part)
        ]
        return _joined(planes, like=image)

    def _resize(self, image: Pixels) -> Crop:
        """Resize a whole image to the size of the crop."""
        shape, method = (self.size, self.size), self.interpolation.upper()
        planes = _planes(image)
        resized = [plane.resize(shape, Image.Resampling[method]) for plane in planes]
        return _joined(resized, like=image)


class _Window(NamedTuple):
    """Source pixels `first` to `end` of one axis, and a box within them."""

    first: int
    end: int
    low: float
    high: float


def _window(start: int, size: int, *, length: int, resized: int) -> _Window:
    """Find the pixels that `size` resized ones from `start` on are made of."""
    scale = length / resized
    low, high = start * scale, min((start + size) * scale, length)
    reach = math.ceil(SUPPORT * max(scale, 1)) + 1
    first, end = max(0, int(low) - reach), min(length, math.ceil(high) + reach)
    return _Window(first, end, low - first, min(high - first, end - first))


def _scaled_size(image: Pixels, shorter: int) -> tuple[int, int]:
    """Height and width of an image scaled to a shorter side of `shorter` pixels."""
    height, width = image.shape[:2]
    scale = shorter / min(height, width)
    return round(height * scale), round(width * scale)


def _planes(image: Pixels) -> list[Image.Image]:
    """Make the images that Pillow resizes: one of bytes, or a float one per channel."""
    if image.dtype != np.uint8:
        planes = np.moveaxis(image, -1, 0).astype(np.float32)
        return [Image.fromarray(plane) for plane in planes]
    # Pillow takes a grey image as two axes, and resizes colours times alpha.
    whole = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    return [whole.convert("RGBa") if whole.mode == "RGBA" else whole]


def _joined(planes: list[Image.Image], *, like: Pixels) -> Crop:
    """Make pixels of resized planes, of the dtype of an image."""
    if like.dtype == np.uint8:
        (whole,) = planes
        whole = whole.convert("RGBA") if whole.mode == "RGBa" else whole
        return np.asarray(whole).reshape(whole.height, whole.width, like.shape[-1])
    pixels = np.stack([np.asarray(plane) for plane in planes], -1)
    if like.dtype == np.uint16:  # bicubic filters overshoot
        pixels = np.clip(np.rint(pixels), 0, 65535)
    return pixels.astype(like.dtype)


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


PRESETS = {
    "imagenet_scale": CropSpec(crop="scale"),
    "imagenet_aspect": CropSpec(crop="area", interpolation="bicubic"),
}


def preset(name: str) -> CropSpec:
    """Look up the crop of the augmentation `name`; most crop nothing."""
    return PRESETS.get(name, CropSpec())
