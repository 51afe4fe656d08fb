"""Mean image, and mean and deviation per channel, of training images, by chunks."""

import itertools
from collections.abc import Iterable

import numpy as np

from resnet_jax.data.augment.standard import Statistics
from resnet_jax.data.decode import Pixels
from resnet_jax.data.sources.source import Source, chunks

# Grey levels 0..255 per unit of the stored values. Floats are 0..1, the convention of
# TensorFlow's images.
LEVELS = {"uint8": 1.0, "uint16": 1 / 257, "float32": 255.0}


def statistics(images: Pixels) -> Statistics:
    """Compute the statistics of images [n *t h w c] that are in memory."""
    parts = chunks(len(images), size=images[0].nbytes)
    return accumulated(images[part.start : part.stop] for part in parts)


def streamed_statistics(source: Source) -> Statistics:
    """Compute the statistics of a split, of which one chunk is in memory at a time."""
    size = source[0]["image"].nbytes
    return accumulated(
        np.stack([example["image"] for example in source.__getitems__(part)])
        for part in chunks(len(source), size=size)
    )


def accumulated(parts: Iterable[Pixels]) -> Statistics:
    """Compute "pixel_mean" [*t h w c], "channel_mean" and "channel_std" [c].

    In grey levels. Sums of integers are exact, so that they depend on no chunks.
    """
    parts = iter(parts)
    first = next(parts)
    pixel_sum, square_sum = np.zeros(first.shape[1:]), np.zeros(first.shape[-1])
    examples = 0
    for images in itertools.chain([first], parts):
        values = images.astype(np.float64)
        channels = values.reshape(-1, values.shape[-1])
        pixel_sum += values.sum(0)
        square_sum += np.einsum("nc,nc->c", channels, channels)
        examples += len(values)
    level, count = LEVELS[first.dtype.name], examples * pixel_sum[..., 0].size
    mean = pixel_sum.sum(tuple(range(pixel_sum.ndim - 1))) / count
    variance = np.maximum(square_sum / count - mean**2, 0.0)
    return {
        "pixel_mean": level * pixel_sum / examples,
        "channel_mean": level * mean,
        "channel_std": level * np.sqrt(variance),
    }
