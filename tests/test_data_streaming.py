"""Batches: the same for any number of processes, workers and threads, from any step."""

import dataclasses
import multiprocessing

import numpy as np
import pytest
import tinyset

from resnet_jax.data import streaming
from resnet_jax.data.crops import CropSpec
from resnet_jax.data.sampler import Sampler, Share
from resnet_jax.data.sources.source import to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.data.streaming import SeekingBatches, Streaming
from resnet_jax.errors import ConfigError, DataError

KEYS = {"image", "label", "mask", "row"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """41 images to train on and 10 to test on."""
    examples = {"train": tinyset.pairs(41), "test": tinyset.pairs(10, seed=1)}
    folder = tinyset.prepare(tmp_path_factory.mktemp("tfds"), examples=examples)
    return open_splits("tiny", directory=folder.parents[1])


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Images of several sizes, to be cropped."""
    shapes = [(40, 56, 3), (64, 40, 3), (41, 300, 3)]
    pairs = [(tinyset.images(1, s, seed=i)[0], i) for i, s in enumerate(shapes)]
    folder = tinyset.prepare(
        tmp_path_factory.mktemp("tfds"),
        examples={"train": pairs, "test": pairs},
        shape=(None, None, 3),
    )
    return open_splits("tiny", directory=folder.parents[1])


CROP = CropSpec(crop="scale", size=16, shorter=(20, 30), eval_shorter=20)


def streamed(source, *, seed, batch_size, share=None, **kwargs):
    order = Sampler(seed, batch_size, len(source), share or Share())
    return Streaming(source, order, **kwargs)


def take(batches, n):
    return [batch for batch, _ in zip(batches, range(n), strict=False)]


def joined(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


def test_streaming_shows_what_resident_shows(tiny):
    arrays = to_arrays(tiny["train"])
    order = Sampler(5, 8, 41)
    batches = streamed(tiny["train"], seed=5, batch_size=8).iterate(0)
    for step, batch in enumerate(take(batches, 7)):
        index = order.batch(step)["index"]
        assert batch.keys() == KEYS
        assert batch["image"].dtype == np.uint8
        np.testing.assert_array_equal(batch["image"], arrays["image"][index])
        np.testing.assert_array_equal(batch["label"], arrays["label"][index])
        assert batch["mask"].tolist() == [1.0] * 8


def test_streaming_resumes_and_divides_exactly(large):
    whole = streamed(large["train"], seed=2, batch_size=6, crop=CROP)
    batches = take(whole.iterate(0), 6)
    assert batches[0]["image"].shape == (6, 16, 16, 3)
    for batch, again in zip(batches[4:], take(whole.iterate(4), 2), strict=True):
        assert_equal(batch, again)
    part = {"seed": 2, "batch_size": 6, "crop": CROP}
    parts = [
        streamed(large["train"], share=Share(k, 3), threads=k + 1, **part)
        for k in range(3)
    ]
    for divided in zip(*(take(part.iterate(1), 3) for part in parts), strict=True):
        step = batches[1]
        assert_equal(joined(divided), step)
        batches = batches[1:]


def test_crops_differ_between_epochs_and_seeds(large):
    def first(seed, step):
        stream = streamed(large["train"], seed=seed, batch_size=3, crop=CROP)
        batch = next(stream.iterate(step))
        return batch["image"][np.argsort(batch["label"])]

    assert (first(0, 0) == first(0, 0)).all()
    assert not (first(0, 0) == first(0, 1)).all()
    assert not (first(0, 0) == first(1, 0)).all()


@pytest.mark.process
def test_worker_processes_change_nothing(large):
    threads = streamed(large["train"], seed=2, batch_size=4, crop=CROP)
    workers = dataclasses.replace(threads, workers=2, threads=1)
    stream = workers.iterate(3)
    for batch, again in zip(take(threads.iterate(3), 5), stream, strict=False):
        assert_equal(batch, again)
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(DataError, match=r"data.workers=2: a worker was killed"):
        take(stream, 10_000)
    assert list(stream) == [], "the stream ends with its first error"


def test_a_damaged_example_ends_the_stream(tiny):
    classes = tuple(map(str, range(9)))
    nine = dataclasses.replace(tiny["train"].features, classes=classes)
    source = dataclasses.replace(tiny["train"], features=nine)
    stream = streamed(source, seed=0, batch_size=4).iterate(0)
    with pytest.raises(DataError, match=r"label 9 at train\[\d+\]"):
        take(stream, 11)
    assert list(stream) == []


def test_images_of_several_sizes_need_a_crop(large):
    stream = streamed(large["train"], seed=0, batch_size=3).iterate(0)
    with pytest.raises(ConfigError, match="differ in size"):
        next(stream)


def test_batches_are_sought_only_where_steps_are_not_consecutive(tiny):
    stream, starts = streamed(tiny["train"], seed=0, batch_size=4), []

    def iterate(step):
        starts.append(step)
        return stream.iterate(step)

    batches = SeekingBatches(iterate)
    first = batches(0, 3)
    assert first["image"].shape == (3, 4, 8, 8, 3)
    third, again = batches(3, 1), batches(1, 2)
    assert starts == [0, 1]
    assert third["row"].tolist() == [[0, 1, 2, 3]]
    assert_equal(again, {name: x[1:] for name, x in first.items()})


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [6, 12])
def test_evaluation_reads_every_example_once(tiny, batch_size, count):
    arrays = to_arrays(tiny["test"])
    read = {"batch_size": batch_size}
    parts = [
        list(streaming.eval_batches(tiny["test"], share=Share(k, count), **read))
        for k in range(count)
    ]
    assert len({len(part) for part in parts}) == 1, "processes must keep in step"
    whole = joined([joined(batches) for batches in zip(*parts, strict=True)])
    assert whole.keys() == KEYS
    assert {len(x) for x in whole.values()} == {-(-10 // batch_size) * batch_size}
    assert whole["mask"].sum() == 10
    kept = whole["mask"] == 1
    np.testing.assert_array_equal(whole["image"][kept], arrays["image"])
    np.testing.assert_array_equal(whole["label"][kept], arrays["label"])


def test_evaluation_takes_the_centre(large):
    (batch,) = streaming.eval_batches(large["test"], batch_size=4, crop=CROP)
    example = large["test"][1]["image"]
    np.testing.assert_array_equal(batch["image"][1], CROP.eval(example))
    assert batch["mask"].tolist() == [1, 1, 1, 0]
