"""Moving digits: clips of scikit-learn's digits that bounce off the edges.

Each of the 1,797 digits (`digits.py`) moves over a dark background at constant speed,
reflected at the edges; its class is the digit. The splits are those of the digits. A
stand-in for video data sets, which no package contains.
"""

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from resnet_jax.data.sources import digits

FRAMES, SIDE = 8, 16
SPEEDS = (-2, -1, 1, 2)  # pixels per frame, along each axis
# Seed of raw bits: NumPy guarantees those of Philox, not Generator's methods (NEP 19).
SEED = 20160316


class MovingDigits(digits.Digits, skip_registration=True):
    """tfds builder of moving digits: 1,437 train and 360 test clips, 8 frames each."""

    def _info(self):
        frame = tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png")
        # tfds.features.Video stores the same data, but needs TensorFlow.
        clip = tfds.features.Sequence(frame, length=FRAMES)
        label = tfds.features.ClassLabel(num_classes=10)
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "scikit-learn's handwritten digits, moving and bouncing: 1,437 train"
                f" and 360 test clips of {FRAMES} frames of {SIDE}x{SIDE}x1, 10"
                " classes; split as the digits."
            ),
            features=tfds.features.FeaturesDict({"clip": clip, "label": label}),
            supervised_keys=("clip", "label"),
        )

    def _generate_examples(self, images, labels, indices):
        for i in indices.tolist():
            frames = [digits.png(frame) for frame in moving(images[i], number=i)]
            yield i, {"clip": frames, "label": int(labels[i])}


def moving(
    image: UInt8[np.ndarray, "h w"], *, number: int
) -> UInt8[np.ndarray, "t side side"]:
    """Draw the frames of a clip; `number` seeds its start and speed."""
    clip = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for frame, (top, left) in zip(clip, path(image.shape, number=number), strict=True):
        frame[top : top + image.shape[0], left : left + image.shape[1]] = image
    return clip


def path(size: tuple[int, int], *, number: int) -> np.ndarray:
    """Compute top left corners [t 2] on a straight line, reflected at the edges."""
    bits = np.random.Philox(key=[SEED, number]).random_raw(4)
    room = SIDE - np.array(size)
    start = (bits[:2] % (room + 1).astype(np.uint64)).astype(np.int64)
    speed = np.array(SPEEDS)[bits[2:] % len(SPEEDS)]
    line = (start + np.arange(FRAMES)[:, None] * speed) % (2 * room)
    return np.minimum(line, 2 * room - line)
