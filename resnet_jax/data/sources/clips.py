"""Moving digits: clips of scikit-learn's digits that bounce off the edges.

Each of the 1,797 digits (`digits.py`) moves over a dark background at a constant speed
and is reflected at the edges; the class is the digit, which every frame shows. Split
like the digits. A stand-in for videos, which no package contains.
"""

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from resnet_jax.data.sources import digits

FRAMES, SIDE = 8, 16
SPEEDS = (-2, -1, 1, 2)  # pixels a frame, along each axis
# Seed of raw bits: NumPy guarantees those of Philox, not Generator's methods (NEP 19).
SEED = 20160316


class MovingDigits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """tfds builder of moving digits: 1,437 train and 360 test clips, 8 frames each."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        frame = tfds.features.Image(shape=(SIDE, SIDE, 1), encoding_format="png")
        # tfds.features.Video is the same, but needs TensorFlow.
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

    def _split_generators(self, dl_manager):
        images, labels = digits.arrays()
        test = np.isin(np.arange(len(labels)), digits.held_out(labels))
        return {
            split: self._generate_examples(images, labels, np.flatnonzero(chosen))
            for split, chosen in {"train": ~test, "test": test}.items()
        }

    def _generate_examples(self, images, labels, indices):
        for i in indices.tolist():
            frames = [digits.png(frame) for frame in moving(images[i], number=i)]
            yield i, {"clip": frames, "label": int(labels[i])}


def moving(
    image: UInt8[np.ndarray, "h w"], *, number: int
) -> UInt8[np.ndarray, "t side side"]:
    """Draw the frames of a clip; `number` decides its start and its speed."""
    clip = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    for frame, (top, left) in zip(clip, path(image.shape, number=number), strict=True):
        frame[top : top + image.shape[0], left : left + image.shape[1]] = image
    return clip


def path(size: tuple[int, int], *, number: int) -> np.ndarray:
    """Compute upper left corners [t 2]: a straight line, reflected at the edges."""
    bits = np.random.Philox(key=[SEED, number]).random_raw(4)
    room = SIDE - np.array(size)
    start = (bits[:2] % (room + 1).astype(np.uint64)).astype(np.int64)
    speed = np.array(SPEEDS)[bits[2:] % len(SPEEDS)]
    line = (start + np.arange(FRAMES)[:, None] * speed) % (2 * room)
    return np.minimum(line, 2 * room - line)
