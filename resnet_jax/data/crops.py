"""Crops on the host: random crops of the ImageNet recipes, centre crops."""

import dataclasses
import math
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from resnet_jax.data.decode import Pixels
from resnet_jax.errors import ConfigError

Crop = UInt8[np.ndarray, "*t crop_h crop_w c"]
ATTEMPTS = 10  # random areas drawn until one fits (fb.resnet.torch)


@dataclasses.dataclass(frozen=True)
class CropSpec:
    """Square crop of `size` pixels from an image of any size.

    "scale"  shorter side uniform in `shorter`, then a random crop (He et al. 2016a,
             section 3.4)
    "area"   random area and aspect ratio, resized (Szegedy et al. 2015;
             fb.resnet.torch)
    "none"   the whole image, for images of a fixed size

    Evaluation takes the centre crop at shorter side `eval_shorter`.
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
        image = self._resize_shorter(image, low + int(rng.random() * (high - low + 1)))
        top, left = (int(rng.random() * (n - self.size + 1)) for n in image.shape[:2])
        return image[top : top + self.size, left : left + self.size]

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
                return self._resize(part, self.size, self.size)
        return self._centre_crop(image, self.size)

    def _centre_crop(self, image: Pixels, shorter: int) -> Crop:
        image = self._resize_shorter(image, shorter)
        top, left = ((n - self.size) // 2 for n in image.shape[:2])
        return image[top : top + self.size, left : left + self.size]

    def _resize_shorter(self, image: Pixels, shorter: int) -> Crop:
        """Resize so that the shorter side has `shorter` pixels, keeping the aspect."""
        height, width = image.shape[:2]
        scale = shorter / min(height, width)
        return self._resize(image, round(height * scale), round(width * scale))

    def _resize(self, image: Pixels, height: int, width: int) -> Crop:
        method = Image.Resampling[self.interpolation.upper()]
        # Pillow takes a grey image as two axes
        source = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        resized = np.asarray(source.resize((width, height), method))
        return resized.reshape(height, width, image.shape[-1])


def _uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


PRESETS = {
    "imagenet_scale": CropSpec(crop="scale"),
    "imagenet_aspect": CropSpec(crop="area", interpolation="bicubic"),
}


def preset(name: str) -> CropSpec:
    """Look up the crop of the augmentation `name`; most crop nothing."""
    return PRESETS.get(name, CropSpec())
