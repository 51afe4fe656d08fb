"""The input pipeline of a config: resident or streamed, the same batches."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
import tinyset

from resnet_jax.config.augmentation import AugMix, Mix, RandAugment
from resnet_jax.config.schema import Config, DataConfig, TrainConfig
from resnet_jax.data import preprocessing, statistics
from resnet_jax.data.augment.mixing import MixSpec
from resnet_jax.data.augment.policies import AugMixSpec, RandAugmentSpec
from resnet_jax.data.pipeline import open_pipeline
from resnet_jax.data.sampler import Share
from resnet_jax.data.sources import source
from resnet_jax.errors import ConfigError

FEEDS = ("resident", "streaming")
WHOLE = {"image", "label", "mask", "row"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """41 images to train on and 10 to test on."""
    examples = {"train": tinyset.pairs(41), "test": tinyset.pairs(10, seed=1)}
    return tinyset.prepare(tmp_path_factory.mktemp("tfds"), examples=examples).parents[
        1
    ]


def opened(folder, *, seeds=(), seed=3, **fields):
    fields = {"name": "tiny", "dir": str(folder), "batch_size": 8} | fields
    train = TrainConfig(epochs=1.0, seeds=seeds)
    return open_pipeline(Config(data=DataConfig(**fields), train=train, seed=seed))


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_resident_and_streamed_batches_are_equal(folder):
    resident, streamed = (opened(folder, feed=feed) for feed in FEEDS)
    assert resident.resident and streamed.resident is None
    index, whole = resident.train_batches(), streamed.train_batches()
    assert index(0, 2).keys() == {"index", "row"}
    for step, k in ((0, 2), (2, 1), (40, 3)):
        assert_equal(resident.gathered(index(step, k)), whole(step, k))
        assert whole(step, k)["image"].shape == (k, 8, 8, 8, 3)
    assert_equal(resident.gathered(index(7)), whole(7))
    assert whole(7)["image"].shape == (8, 8, 8, 3)
    assert_equal(resident.first_batch(), streamed.first_batch())


@pytest.mark.parametrize("feed", FEEDS)
def test_each_seed_has_its_own_order(folder, feed):
    together = opened(folder, feed=feed, seeds=(4, 1)).train_batches()
    different = "index" if feed == "resident" else "image"
    for arguments in ((5, 2), (5,)):
        batches = together(*arguments)
        for i, seed in enumerate((4, 1)):
            alone = opened(folder, feed=feed, seed=seed).train_batches()(*arguments)
            assert_equal({name: x[i] for name, x in batches.items()}, alone)
        assert not np.array_equal(*batches[different])


@pytest.mark.parametrize("feed", FEEDS)
def test_batches_are_placed(folder, feed):
    placed = []

    def place(batch):
        placed.append(batch)
        return {"rows": batch["row"]}

    pipeline = opened(folder, feed=feed)
    assert pipeline.train_batches(place)(0, 2).keys() == {"rows"}
    found = list(pipeline.eval_batches("test", place))
    assert [batch.keys() for batch in found] == [{"rows"}] * 2
    assert len(placed) == 3


@pytest.mark.parametrize("feed", FEEDS)
def test_evaluation_may_be_repeated(folder, feed):
    pipeline = opened(folder, feed=feed)
    batches = pipeline.eval_batches("test")
    once, again = list(batches), list(batches)
    assert sum(batch["mask"].sum() for batch in once) == 10
    for one, other in zip(once, again, strict=True):
        assert_equal(one, other)
    if feed == "resident":
        assert once[0] is again[0], "index batches are placed once"


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("batch_size", [None, 3, 20])
def test_examples_are_whole_and_counted_once(folder, feed, batch_size):
    pipeline = opened(folder, feed=feed)
    batches = list(pipeline.examples("test", batch_size=batch_size))
    assert {len(batch["row"]) for batch in batches} == {batch_size or 8}
    assert all(batch.keys() == WHOLE for batch in batches)
    kept = [
        {name: batch[name][batch["mask"] == 1] for name in ("image", "label")}
        for batch in batches
    ]
    arrays = opened(folder, feed="resident").resident["test"]
    for name, expected in arrays.items():
        found = np.concatenate([batch[name] for batch in kept])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("feed", FEEDS)
def test_a_process_trains_on_its_share_and_sees_all_of_the_first_batch(folder, feed):
    whole = opened(folder, feed=feed)
    parts = [dataclasses.replace(whole, share=Share(k, 2)) for k in range(2)]
    batch = whole.train_batches()(3, 2)
    shares = [part.train_batches()(3, 2) for part in parts]
    for name, expected in batch.items():
        found = np.concatenate([share[name] for share in shares], axis=1)
        np.testing.assert_array_equal(found, expected)
    for part in parts:
        assert_equal(part.first_batch(), whole.first_batch())


# Translation of a config


def test_additions_to_a_preset():
    data = DataConfig(augment="crop_flip", normalize="none", cutout=3, erasing=0.5)
    spec = preprocessing.augmentation(data)
    assert (spec.crop_pad, spec.flip, spec.normalize) == (4, "horizontal", "none")
    assert (spec.cutout, spec.erasing, spec.policy) == (3, 0.5, None)
    assert preprocessing.augmentation(DataConfig(augment="crop_flip")).normalize == (
        "pixel_mean"
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RandAugment(operations=3, magnitude=5.0), RandAugmentSpec(3, 5.0)),
        (AugMix(severity=1.0, width=2, depth=4, alpha=0.5), AugMixSpec(1.0, 2, 4, 0.5)),
        (AugMix(), AugMixSpec()),
    ],
)
def test_policies_of_a_config(policy, expected):
    assert preprocessing.augmentation(DataConfig(policy=policy)).policy == expected


def test_mixing_of_a_config():
    assert preprocessing.mixing(DataConfig()) is None
    mix = Mix(name="cutmix", alpha=0.3, probability=0.5)
    found = preprocessing.mixing(DataConfig(mix=mix))
    assert found == MixSpec("cutmix", 0.3, 0.5)


# Statistics of streamed images


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A split whose images are drawn when they are read."""

    length: int
    name = description = fingerprint = "drawn"
    num_classes = 10
    classes = ()
    image_shape: tuple[int, ...] = (64, 64, 3)
    dtype: np.dtype = np.dtype(np.uint8)

    def where(self, index):
        return f"{self.name}[{index}]"

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        return {"image": rng.integers(0, 200, self.image_shape, np.uint8), "label": 0}

    def __getitems__(self, indices):
        return [self[i] for i in indices]


def test_opening_a_streamed_set_holds_one_chunk_at_a_time(monkeypatch):
    """And gives the statistics of the whole set, to the last bit."""
    images = np.stack([Drawn(1000)[i]["image"] for i in range(1000)])
    exact = images.astype(np.float64)
    monkeypatch.setattr(source, "CHUNK_BYTES", 2**16)
    tracemalloc.start()
    try:
        streamed = statistics.streamed_statistics(Drawn(1000))
        _, streamed_peak = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        whole = statistics.statistics(images)
        _, whole_peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert images.nbytes > 12e6
    assert streamed_peak < 2e6 and whole_peak - before < 2e6
    for name, expected in {
        "pixel_mean": images.sum(0, dtype=np.int64) / 1000,
        "channel_mean": images.sum((0, 1, 2), dtype=np.int64) / exact[..., 0].size,
    }.items():
        np.testing.assert_array_equal(streamed[name], expected)
    np.testing.assert_allclose(streamed["channel_std"], exact.std((0, 1, 2)))
    for name, value in whole.items():
        np.testing.assert_array_equal(streamed[name], value)


# Images of other dtypes


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_other_dtypes_are_grey_levels_without_rounding(tmp_path, feed, dtype):
    values = np.random.default_rng(0).integers(0, 65536, (12, 8, 8, 1))
    stored = (values / 65535 if dtype == "float32" else values).astype(dtype)
    pairs = [(tinyset.deep(image), i % 10) for i, image in enumerate(stored)]
    examples = {"train": pairs, "test": pairs}
    kind = {"dtype": "uint16"} if dtype == "uint16" else {"shape": (8, 8, 4)}
    folder = tinyset.prepare(tmp_path, examples=examples, **{"shape": (8, 8, 1)} | kind)
    if dtype == "float32":  # which tfds writes with TensorFlow only
        declared = {"dtype": dtype, "shape": {"dimensions": ["8", "8", "1"]}}
        tinyset.edit(
            folder,
            lambda f: f["featuresDict"]["features"]["image"]["image"].update(declared),
            file="features.json",
        )
    pipeline = opened(tmp_path, feed=feed, normalize="none", batch_size=12)
    batch = pipeline.first_batch()
    assert batch["image"].dtype == dtype
    shown = preprocessing.in_bytes(batch["image"])
    assert shown.dtype == np.uint8
    assert sorted(shown.sum((1, 2, 3)).tolist()) == sorted(
        np.rint(values * (255 / 65535)).sum((1, 2, 3)).tolist()
    )
    images = np.asarray(pipeline.preprocess(None, batch, train=False))
    found = sorted(images.sum((1, 2, 3)).tolist())
    expected = sorted((values / 65535).sum((1, 2, 3)).tolist())
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    pipeline = opened(tmp_path, feed=feed, normalize="channel", batch_size=12)
    images = np.asarray(pipeline.preprocess(None, batch, train=False))
    np.testing.assert_allclose([images.mean(), images.std()], [0, 1], atol=1e-5)


# Refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"augment": "imagenet_scale", "feed": "resident"},
            r"data.feed='resident': the images of tiny are cropped as they are read; "
            "use 'streaming'",
        ),
        (
            {"augment": "imagenet_scale", "normalize": "pixel_mean"},
            r"data.normalize='pixel_mean': .*random crops.*use 'channel'",
        ),
        (
            {"workers": 2, "feed": "resident"},
            r"data.workers=2: decode streamed images, but data.feed='resident'; leave",
        ),
    ],
)
def test_crops_have_no_whole_images(folder, fields, message):
    with pytest.raises(ConfigError, match=message):
        opened(folder, **fields)


def test_images_of_several_sizes_need_a_crop(tmp_path):
    pairs = [(tinyset.images(1, (9, 8 + i, 3))[0], i) for i in range(2)]
    examples = {"train": pairs, "test": pairs}
    tinyset.prepare(tmp_path, examples=examples, shape=(None, None, 3))
    with pytest.raises(ConfigError, match=r"data.augment='none': .*differ in size"):
        opened(tmp_path)
    assert opened(tmp_path, augment="imagenet_scale").image_shape == (224, 224, 3)


def test_crops_of_clips_are_refused():
    data = DataConfig(name="kinetics400", augment="imagenet_scale")
    clips = Drawn(4, image_shape=(2, 8, 8, 3))
    with pytest.raises(
        ConfigError, match=r"'imagenet_scale': .* kinetics400 holds clips"
    ):
        preprocessing.image_shape(data, clips)


def test_crops_of_grey_images_are_refused(tmp_path):
    pairs = tinyset.pairs(4, shape=(8, 8, 1))
    tinyset.prepare(tmp_path, examples={"train": pairs, "test": pairs}, shape=(8, 8, 1))
    with pytest.raises(ConfigError, match=r"images of 3 channels, but .* have 1"):
        opened(tmp_path, augment="imagenet_scale")
