"""Batches: the same for any number of processes, workers and threads, from any step."""

import dataclasses
import multiprocessing

import numpy as np
import pytest
import tinyset

from resnet_jax.data import decode
from resnet_jax.data import reader as loader
from resnet_jax.data import sampler as order
from resnet_jax.data.sources import tfds as sources
from resnet_jax.errors import ConfigError, DataError

KEYS = {"image", "label", "mask", "row"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """41 images to train on and 10 to test on."""
    examples = {"train": tinyset.pairs(41), "test": tinyset.pairs(10, seed=1)}
    folder = tinyset.prepare(tmp_path_factory.mktemp("tfds"), examples=examples)
    return sources.open_sources("tiny", directory=folder.parents[1])


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
    return sources.open_sources("tiny", directory=folder.parents[1])


CROP = decode.CropSpec(crop="scale", size=16, shorter=(20, 30), eval_shorter=20)


def take(batches, n):
    return [batch for batch, _ in zip(batches, range(n), strict=False)]


def joined(parts):
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].dtype == b[key].dtype
        np.testing.assert_array_equal(a[key], b[key], err_msg=key)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_resident_processes_share_the_global_batch(count):
    arrays = {"image": tinyset.images(41), "label": np.zeros(41, np.int32)}
    whole = loader.Resident(arrays, seed=1, batch_size=12)
    parts = [
        dataclasses.replace(whole, process_index=k, process_count=count)
        for k in range(count)
    ]
    for step in (0, 3, 1000):
        batch = whole.batch(step)
        assert_equal(joined([part.batch(step) for part in parts]), batch)
        assert batch["row"].tolist() == list(range(12))
        expected = order.indices(1, step, batch_size=12, length=41)
        np.testing.assert_array_equal(batch["index"], expected)
        assert batch["index"].dtype == batch["row"].dtype == np.int32


def test_a_batch_that_processes_cannot_share():
    arrays = {"label": np.zeros(9, np.int32)}
    parts = loader.Resident(arrays, seed=0, batch_size=16, process_count=3)
    with pytest.raises(ConfigError, match=r"data.batch_size=16: is not divisible by 3"):
        parts.batch(0)


def test_streaming_shows_what_resident_shows(tiny):
    arrays = sources.to_arrays(tiny["train"])
    resident = loader.Resident(arrays, seed=5, batch_size=8)
    streaming = loader.Streaming(tiny["train"], seed=5, batch_size=8)
    for step, batch in enumerate(take(streaming.iterate(0), 7)):
        index = resident.batch(step)["index"]
        assert batch.keys() == KEYS
        assert batch["image"].dtype == np.uint8
        np.testing.assert_array_equal(batch["image"], arrays["image"][index])
        np.testing.assert_array_equal(batch["label"], arrays["label"][index])
        assert batch["mask"].tolist() == [1.0] * 8


def test_streaming_resumes_and_divides_exactly(large):
    whole = loader.Streaming(large["train"], seed=2, batch_size=6, crop=CROP)
    batches = take(whole.iterate(0), 6)
    assert batches[0]["image"].shape == (6, 16, 16, 3)
    for batch, again in zip(batches[4:], take(whole.iterate(4), 2), strict=True):
        assert_equal(batch, again)
    parts = [
        dataclasses.replace(whole, process_index=k, process_count=3, threads=k + 1)
        for k in range(3)
    ]
    for divided in zip(*(take(part.iterate(1), 3) for part in parts), strict=True):
        step = batches[1]
        assert_equal(joined(divided), step)
        batches = batches[1:]


def test_crops_differ_between_epochs_and_seeds(large):
    def first(seed, step):
        stream = loader.Streaming(large["train"], seed=seed, batch_size=3, crop=CROP)
        batch = next(stream.iterate(step))
        return batch["image"][np.argsort(batch["label"])]

    assert (first(0, 0) == first(0, 0)).all()
    assert not (first(0, 0) == first(0, 1)).all()
    assert not (first(0, 0) == first(1, 0)).all()


def test_worker_processes_change_nothing(large):
    threads = loader.Streaming(large["train"], seed=2, batch_size=4, crop=CROP)
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
    source = dataclasses.replace(tiny["train"], num_classes=9)
    stream = loader.Streaming(source, seed=0, batch_size=4).iterate(0)
    with pytest.raises(DataError, match=r"label 9 at train\[\d+\]"):
        take(stream, 11)
    assert list(stream) == []


def test_images_of_several_sizes_need_a_crop(large):
    stream = loader.Streaming(large["train"], seed=0, batch_size=3).iterate(0)
    with pytest.raises(ConfigError, match="differ in size"):
        next(stream)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [6, 12])
@pytest.mark.parametrize("feed", ["arrays", "source"])
def test_evaluation_counts_every_example_once(tiny, feed, batch_size, count):
    arrays = sources.to_arrays(tiny["test"])
    data = arrays if feed == "arrays" else tiny["test"]
    parts = [
        list(
            loader.eval_batches(
                data, batch_size=batch_size, process_index=k, process_count=count
            )
        )
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
    (batch,) = loader.eval_batches(large["test"], batch_size=4, crop=CROP)
    example = large["test"][1]["image"]
    np.testing.assert_array_equal(batch["image"][1], CROP.eval(example))
    assert batch["mask"].tolist() == [1, 1, 1, 0]
