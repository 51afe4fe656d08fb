"""Clips: moving digits from the folder to the network's input."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from resnet_jax.data import streaming
from resnet_jax.data.augment import standard as augment
from resnet_jax.data.sources import clips, digits, folders
from resnet_jax.data.sources.source import to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.data.statistics import statistics
from resnet_jax.errors import ConfigError, DataError

IMAGES, LABELS = digits.arrays()


def test_a_digit_moves_by_its_speed_and_turns_at_the_edges():
    room, speeds, starts, turns = clips.SIDE - 8, set(), set(), 0
    for number in range(200):
        path = clips.path((8, 8), number=number)
        assert path.min() >= 0 and path.max() <= room
        starts.add(tuple(path[0]))
        for line in path.T:
            moves = np.diff(line)
            speeds.add(int(np.abs(moves).max()))
            turned = line[1:-1][moves[1:] != moves[:-1]]
            assert (np.minimum(turned, room - turned) <= 1).all()
            turns += len(turned)
    assert speeds == {1, 2} and len(starts) > 60 and turns > 100


def test_frames_hold_the_digit_and_nothing_else():
    for number in (0, 7, 1796):
        clip = clips.moving(IMAGES[number], number=number)
        assert (clip.shape, clip.dtype) == ((8, 16, 16), np.uint8)
        for frame, (top, left) in zip(
            clip, clips.path((8, 8), number=number), strict=True
        ):
            np.testing.assert_array_equal(
                frame[top : top + 8, left : left + 8], IMAGES[number]
            )
            assert frame.sum(dtype=int) == IMAGES[number].sum(dtype=int)


def test_clips_are_the_same_on_every_machine():
    """The draws of a few clips, written down."""
    paths = [clips.path((8, 8), number=n)[[0, -1]].tolist() for n in (0, 1, 1000)]
    assert paths == [[[8, 6], [1, 4]], [[5, 2], [4, 7]], [[7, 4], [7, 6]]]


def test_the_prepared_set(tmp_path):
    split = open_splits("moving_digits", directory=tmp_path, split="1000/100")
    assert {name: len(source) for name, source in split.items()} == {
        "train": 1000, "val": 100, "test": 360,
    }  # fmt: skip
    test = split["test"]
    assert (test.num_classes, test.image_shape) == (10, (8, 16, 16, 1))
    assert test.fingerprint.startswith("moving_digits:1.0.0:test:360:")
    arrays = to_arrays(test)
    assert arrays["image"].shape == (360, 8, 16, 16, 1)
    chosen = digits.held_out(LABELS)
    expected = {
        (clips.moving(IMAGES[i], number=int(i)).tobytes(), int(LABELS[i]))
        for i in chosen
    }
    pairs = zip(arrays["image"], arrays["label"], strict=True)
    assert {(clip.tobytes(), int(label)) for clip, label in pairs} == expected
    np.testing.assert_array_equal(test[5]["image"], arrays["image"][5])
    (batch,) = streaming.eval_batches(test, batch_size=360)
    assert batch["image"].shape == (360, 8, 16, 16, 1)


class Clips(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Two clips whose frames are told by the test."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, frames, length, **kwargs):
        self.frames, self.length = frames, length
        super().__init__(**kwargs)

    def _info(self):
        image = tfds.features.Image(shape=(4, 4, 1), encoding_format="png")
        features = {
            "clip": tfds.features.Sequence(image, length=self.length),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(
            builder=self, features=features, supervised_keys=("clip", "label")
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        for i, count in enumerate(self.frames):
            frame = np.full((4, 4), 9, np.uint8)
            yield i, {"clip": [digits.png(frame) for _ in range(count)], "label": i}


def prepared(folder, **kwargs):
    folders.prepare(Clips(data_dir=folder, **kwargs))
    return open_splits("clips", directory=folder)["train"]


def test_clips_of_other_folders(tmp_path):
    source = prepared(tmp_path, frames=(3, 3), length=3)
    assert source.image_shape == (3, 4, 4, 1)
    assert to_arrays(source)["image"].tolist() == np.full((2, 3, 4, 4, 1), 9).tolist()


def test_clips_that_differ_in_length_are_refused(tmp_path):
    with pytest.raises(DataError, match="'clip' is a Sequence of unknown length"):
        prepared(tmp_path, frames=(3, 2), length=None)


def test_a_clip_of_another_length_than_declared_is_named(tmp_path):
    source = prepared(tmp_path, frames=(3, 3), length=3)
    longer = dataclasses.replace(source.features, shape=(4, 4, 4, 1))
    told = r"train\[0\] .*undeclared .*clip has 3 frames, declared are 4"
    with pytest.raises(DataError, match=told):
        dataclasses.replace(source, features=longer)[0]


# ---------------------------------------------------------------- augmentation

CLIPS = np.random.default_rng(0).integers(0, 256, (12, 3, 6, 6, 3), np.uint8)
STATS = statistics(CLIPS)


def apply(spec, *, train=True, images=CLIPS, stats=STATS):
    batch = {"image": images, "row": np.arange(len(images), dtype=np.int32)}
    preprocess = jax.jit(augment.build(spec, stats), static_argnames="train")
    return np.asarray(preprocess(jax.random.key(0), batch, train=train))


def test_statistics_of_clips():
    exact = CLIPS.astype(np.float64)
    np.testing.assert_allclose(STATS["pixel_mean"], exact.mean(0), rtol=1e-15)
    np.testing.assert_allclose(STATS["channel_mean"], exact.mean((0, 1, 2, 3)))
    np.testing.assert_allclose(STATS["channel_std"], exact.std((0, 1, 2, 3)))


@pytest.mark.parametrize("normalize", ["none", "channel", "pixel_mean"])
def test_normalisation_of_clips(normalize):
    expected = {
        "none": CLIPS / 255,
        "channel": (CLIPS - STATS["channel_mean"]) / STATS["channel_std"],
        "pixel_mean": (CLIPS - STATS["pixel_mean"]) / 255,
    }[normalize]
    got = apply(augment.AugmentSpec(normalize=normalize), train=False)
    np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("fill, mode", [("zero", "constant"), ("reflect", "reflect")])
def test_all_frames_are_shifted_and_flipped_as_one(fill, mode):
    spec = augment.AugmentSpec(2, fill, "horizontal", "channel")
    clean, out = apply(spec, train=False), apply(spec)
    wide = np.pad(clean, ((0, 0), (0, 0), (2, 2), (2, 2), (0, 0)), mode=mode)
    used = set()
    for clip, padded in zip(out, wide, strict=True):
        fits = [
            (i, j, mirrored)
            for i, j in itertools.product(range(5), repeat=2)
            for mirrored in (False, True)
            for source in [flipped(padded) if mirrored else padded]
            if np.abs(clip - source[:, i : i + 6, j : j + 6]).max() < 2e-5
        ]
        assert fits
        used |= set(fits)
    assert len(used) > 3 and {mirrored for *_, mirrored in used} == {False, True}


def flipped(clip):
    return clip[:, :, ::-1]


def test_colours_of_all_frames_change_as_one():
    """A still clip stays still."""
    still = np.repeat(CLIPS[:, :1], 3, axis=1)
    spec = augment.AugmentSpec(normalize="none", colour=0.4, lighting=0.1)
    out = apply(spec, images=still)
    np.testing.assert_allclose(out, np.repeat(out[:, :1], 3, axis=1), atol=1e-6)
    assert np.abs(out - still / 255).max() > 0.05


def test_grey_clips_have_no_colour_to_jitter():
    with pytest.raises(ConfigError, match=r"jitters colour.*1 channel"):
        augment.build(augment.AugmentSpec(colour=0.4), statistics(CLIPS[..., :1]))
