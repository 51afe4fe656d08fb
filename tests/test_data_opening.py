"""The opening: all that a run will read is looked at before anything is created."""

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tinyset
from PIL import Image

from resnet_jax.config.datasets import dataset, train_images
from resnet_jax.config.schema import Config, DataConfig, TrainConfig
from resnet_jax.data.pipeline import open_pipeline
from resnet_jax.data.sources import cifar, clips, content, digits, splits
from resnet_jax.data.sources.source import to_arrays
from resnet_jax.data.sources.splits import open_splits
from resnet_jax.errors import ConfigError, DataError
from resnet_jax.paths import remote
from resnet_jax.train import run
from resnet_jax.train.progress import Bar

TRAIN, TEST = tinyset.pairs(40), tinyset.pairs(12, seed=1)


def prepared(folder, *, train=TRAIN, **kwargs):
    """A folder of `tiny`, with a test split unless others are named."""
    others = kwargs.pop("others", {"test": TEST})
    return tinyset.prepare(folder, examples={"train": train, **others}, **kwargs)


def opened(folder, **kwargs):
    return open_splits("tiny", directory=folder.parents[1], **kwargs)


def refused(folder, tmp_path, **fields):
    """The one line of a run that is refused, which leaves no folder."""
    data = DataConfig(name="tiny", dir=str(folder.parents[1]), batch_size=2, **fields)
    return refused_before_it_begins(data, tmp_path)


def refused_before_it_begins(data, tmp_path):
    """The one line of a run on data that are refused, which leaves no folder."""
    config = Config(data=data, train=TrainConfig(epochs=1.0))
    with pytest.raises((ConfigError, DataError)) as told:
        run.run_all(config, tmp_path / "run", bar=Bar)
    assert not (tmp_path / "run").exists()
    assert "\n" not in str(told.value)
    return str(told.value)


# Fingerprint


def fingerprint(folder):
    return opened(folder)["train"].fingerprint


def test_other_pixels_are_other_data(tmp_path):
    first = fingerprint(prepared(tmp_path / "a"))
    assert re.fullmatch("tiny:1.0.0:train:40:[0-9a-f]{16}", first)
    assert fingerprint(prepared(tmp_path / "b")) == first
    train = [*TRAIN[:-1], (255 - TRAIN[-1][0], TRAIN[-1][1])]
    test = [(TEST[0][0], 5), *TEST[1:]]
    changed = [{"train": train}, {"others": {"test": test}}, {"num_classes": 11}]
    folders = (prepared(tmp_path / str(i), **x) for i, x in enumerate(changed))
    others = [fingerprint(folder) for folder in folders]
    assert len({first, *others}) == 4
    assert {other.rpartition(":")[0] for other in others} == {"tiny:1.0.0:train:40"}


def test_of_large_shards_size_and_both_ends_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "WHOLE", 0)
    monkeypatch.setattr(content, "EDGE", 10)
    path = tmp_path / "shard"
    digests = {}
    for name, position in {
        "as it is": None,
        "first": 9,
        "last": 90,
        "inside": 50,
    }.items():
        data = bytearray(100)
        if position is not None:
            data[position] = 1
        path.write_bytes(data)
        digests[name] = content.Content("features", (str(path),)).digest()
    assert digests.pop("inside") == digests["as it is"]
    path.write_bytes(bytes(101))
    digests["longer"] = content.Content("features", (str(path),)).digest()
    digests["other features"] = content.Content("", (str(path),)).digest()
    assert len({*digests.values()}) == 5


# Shards, splits and labels


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("feed", ["resident", "streaming"])
def test_a_missing_or_empty_shard_is_told_first(tmp_path, split, feed):
    folder = prepared(tmp_path)
    (path,) = folder.glob(f"tiny-{split}.array_record-*")
    path.write_bytes(b"")
    told = f"{path}: shard of split '{split}'"
    assert refused(folder, tmp_path, feed=feed) == (
        f"{told} is empty; restore the file, or delete {folder} and prepare the data "
        "set again"
    )
    path.unlink()
    assert f"{told} cannot be read (No such file" in refused(
        folder, tmp_path, feed=feed
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_examples_is_told_first(tmp_path, split):
    folder = prepared(tmp_path)

    def emptied(info):
        (found,) = (s for s in info["splits"] if s["name"] == split)
        found["shardLengths"] = ["0"]

    tinyset.edit(folder, emptied)
    told = refused(folder, tmp_path)
    assert told.startswith(f"data.name='tiny': split '{split}' holds no examples; ")


@pytest.mark.parametrize("label", [-1, 10])
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_of_no_class_are_told_first(tmp_path, split, label):
    """Of a streamed set, too: all labels of ImageNet's test images are -1."""
    pairs = [(image, label) for image, _ in TEST]
    more = {"train": pairs} if split == "train" else {"others": {"test": pairs}}
    folder = prepared(tmp_path, num_classes=11, **more)

    def fewer(features):
        label = features["featuresDict"]["features"]["label"]["classLabel"]
        label["numClasses"] = "10"

    tinyset.edit(folder, fewer, file="features.json")
    told = refused(folder, tmp_path, feed="streaming")
    place = (
        rf"label {label} at {split}\[(0|11)\] in .*; labels must be 0\.\.9: name spl"
    )
    assert re.match(f"data.num_classes=10: {place}", told)


def test_a_shard_of_another_split_is_told_by_its_count(tmp_path):
    folder = prepared(tmp_path)
    train, test = (next(folder.glob(f"*-{split}.*")) for split in ("train", "test"))
    test.write_bytes(train.read_bytes())
    told = f"{test}: holds 40 records, dataset_info.json says 12; restore the file"
    with pytest.raises(DataError, match=re.escape(told)):
        opened(folder)


def test_the_last_label_of_every_shard_is_looked_at(tmp_path):
    source = opened(prepared(tmp_path))["train"]
    records = source.records
    by_shard = type(records)(
        records.split, ("a", "b", "c"), (10, 20, 10), records.reader
    )
    assert by_shard.ends(0, 40, most=64) == [0, 9, 10, 29, 30, 39]
    assert by_shard.ends(5, 30, most=64) == [5, 9, 10, 29]
    assert by_shard.ends(12, 13, most=64) == [12]
    many = type(records)(records.split, ("s",) * 200, (2,) * 200, records.reader)
    ends = many.ends(0, 400, most=64)
    assert {0, 1, 398, 399} <= {*ends} and 2 * 50 <= len(ends) <= 2 * 65


def test_a_record_without_its_label_is_told_first(tmp_path):
    folder = prepared(tmp_path)

    def renamed(features):
        found = features["featuresDict"]["features"]
        found["class"] = found.pop("label")

    tinyset.edit(folder, renamed, file="features.json")
    keys = [{"featureKey": "image"}, {"featureKey": "class"}]
    tinyset.edit(
        folder, lambda info: info.update(supervisedKeys={"tuple": {"items": keys}})
    )
    told = refused(folder, tmp_path, feed="streaming")
    assert "damaged record (ValueError: it has no 'class', only image, label)" in told


# Split to test on


def records(source):
    return {(x.tobytes(), y) for x, y in zip(*to_arrays(source).values(), strict=True)}


def test_the_split_to_test_on_may_be_named(tmp_path):
    others = {name: tinyset.pairs(n, seed=n) for name, n in (("test", 5), ("more", 7))}
    folder = prepared(tmp_path, others=others)
    assert len(opened(folder)["test"]) == 5
    assert len(opened(folder, test_split="more")["test"]) == 7
    assert len(opened(folder, test_split="more[:3]")["test"]) == 3
    assert len(opened(folder, test_split="more")["train"]) == 40


@pytest.mark.parametrize(
    ("held_out", "first", "count"),
    [("train[-10%:]", 36, 4), ("train[:10]", 0, 10), ("train[30:]", 30, 10)],
)
def test_records_that_are_held_out_are_not_trained_on(tmp_path, held_out, first, count):
    folder = prepared(tmp_path, others={})
    assert "data.test_split, for example 'train[-10%:]'" in refused(folder, tmp_path)
    data = {"name": "tiny", "dir": str(tmp_path), "feed": "resident"}
    config = DataConfig(**data, test_split=held_out, split="20/10")
    found = open_pipeline(Config(data=config)).splits
    parts = [records(found[name]) for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [20, 10, count]
    assert len(set.union(*parts)) == 30 + count
    kept = opened(folder, test_split=held_out)
    assert not records(kept["train"]) & records(kept["test"])
    assert len(kept["train"]) == 40 - count
    assert kept["test"].where(0).startswith(f"train[{first}] in ")


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ("train", "leaves no training examples"),
        ("train[:0]", "holds no examples"),
        ("train[5:10]", "must be at the beginning or end of the training split"),
        ("nothing", "is no split or slice of tiny .*its splits are train, test;"),
        (
            "train[:1000]",
            "is no split or slice of tiny .*incompatible with 40 examples",
        ),
        ("all", "is no split or slice of tiny"),
    ],
)
def test_impossible_test_splits_are_refused(tmp_path, held_out, message):
    told = refused(prepared(tmp_path), tmp_path, test_split=held_out)
    assert re.match(f"data.test_split='{re.escape(held_out)}': {message}", told)


def test_a_test_split_is_divided_by_no_training_share(tmp_path):
    told = refused(prepared(tmp_path), tmp_path, test_split="train[-8:]", split="30/5")
    assert told == "data.split='30/5': asks for 30 + 5 of the 32 training examples"


def test_sizes_that_only_the_data_tell_are_not_known():
    usual = DataConfig(name="cifar10")
    assert (train_images(usual), dataset(usual).test) == (50_000, 10_000)
    held_out = DataConfig(name="cifar10", test_split="train[-10%:]")
    assert (train_images(held_out), dataset(held_out).test) == (None, None)
    divided = DataConfig(name="cifar10", test_split="train[-10%:]", split="40k/5k")
    assert train_images(divided) == 40_000


def test_imagenet_is_tested_on_its_validation_images(tmp_path):
    class Imagenet2012(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("5.1.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(8, 8, 3)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            lengths = {"train": 4, "validation": 3, "test": 2}
            return {name: self._generate_examples(n) for name, n in lengths.items()}

        def _generate_examples(self, count):
            for i, (image, label) in enumerate(tinyset.pairs(count)):
                yield (
                    i,
                    {"image": digits.png(image), "label": label if count > 2 else -1},
                )

    splits.folders.prepare(Imagenet2012(data_dir=tmp_path))
    assert len(open_splits("imagenet2012", directory=tmp_path)["test"]) == 3
    with pytest.raises(
        DataError, match=r"label -1 at test\[0\] .*name splits that have"
    ):
        open_splits("imagenet2012", directory=tmp_path, test_split="test")


# Features


def keyed(folder, keys):
    tinyset.edit(folder, lambda info: info.update(supervisedKeys=keys))


IMAGE, LABEL, FILE = ({"featureKey": key} for key in ("image", "label", "filename"))


@pytest.mark.parametrize(
    "keys",
    [
        None,
        {"tuple": {"items": [LABEL, IMAGE]}},
        {"tuple": {"items": [{"dict": {"dict": {"x": IMAGE}}}, LABEL]}},
        {"tuple": {"items": [IMAGE, LABEL, FILE]}},
    ],
)
def test_supervised_keys_of_any_form(tmp_path, keys):
    folder = prepared(tmp_path)
    keyed(folder, keys)
    if keys is not None and FILE in keys["tuple"]["items"]:  # as places365_small
        text = {
            "pythonClassName": "tensorflow_datasets.core.features.text_feature.Text",
            "text": {},
        }
        tinyset.edit(
            folder,
            lambda f: f["featuresDict"]["features"].update(filename=text),
            file="features.json",
        )
    assert len(records(opened(folder)["train"])) == 40


def test_keys_that_are_ambiguous_or_not_there_are_named(tmp_path):
    folder = prepared(tmp_path)
    keyed(folder, {"tuple": {"items": [IMAGE, FILE]}})
    told = refused(folder, tmp_path)
    assert "supervised_keys names 'filename', which is none" in told
    keyed(folder, {"tuple": {"items": [IMAGE, IMAGE, LABEL]}})
    assert "hold 2 features of type Image, must be one" in refused(folder, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float64"}, "float64"),
        ({"dtype": "uint16", "encodingFormat": "jpeg"}, "uint16"),
        ({"shape": {"dimensions": ["8", "8", "2"]}}, "'image' has 2 channels"),
        (
            {"shape": {"dimensions": ["2", "8", "8", "3"]}},
            "'image' is an Image of shape",
        ),
    ],
)
def test_features_that_are_not_read_are_unsupported(tmp_path, change, message):
    folder = prepared(tmp_path)
    tinyset.edit(
        folder,
        lambda f: f["featuresDict"]["features"]["image"]["image"].update(change),
        file="features.json",
    )
    told = refused(folder, tmp_path)
    assert "unsupported features" in told and message in told
    assert "read are Image, or Sequence(Image)" in told and "damaged" not in told


OF_TFDS = "tensorflow_datasets.core.features."


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"pythonClassName": "own.Film", "tensor": {}}, "features (ValueError: Unrec"),
        (
            {"pythonClassName": f"{OF_TFDS}video_feature.Video", "video": {}},
            "features: Video needs TensorFlow; read are Image",
        ),
        (
            {
                "pythonClassName": f"{OF_TFDS}tensor_feature.Tensor",
                "tensor": {"shape": {"dimensions": ["8"]}, "dtype": "float64"},
            },
            "image: Tensor, label: ClassLabel",
        ),
    ],
)
def test_other_features_than_images_are_unsupported(tmp_path, feature, message, capfd):
    folder = prepared(tmp_path)
    tinyset.edit(
        folder,
        lambda f: f["featuresDict"]["features"].update(image=feature),
        file="features.json",
    )
    told = refused(folder, tmp_path)
    assert "unsupported features" in told and message in told
    assert "TensorFlow" not in "".join(capfd.readouterr())


def test_the_advice_for_undeclared_sizes_works(tmp_path):
    train = [(x, y) for (x, y) in tinyset.pairs(4, shape=(9, 8, 3))]
    folder = prepared(tmp_path / "a", train=train)
    told = refused(folder, tmp_path)
    assert "undeclared image (image is 9x8, declared as 8x8)" in told
    assert "whose sides are None where they differ in size" in told
    folder = prepared(tmp_path / "b", train=train, shape=(None, None, 3))
    assert len(opened(folder)["train"]) == 4


# What is not there


def test_a_data_set_of_this_package_may_be_named_with_its_version(tmp_path):
    found = open_splits("digits:1.0.0", directory=tmp_path)
    assert len(found["train"]) == 1437
    with pytest.raises(DataError, match=r"this package prepares cifar10:3\.0\.2: name"):
        open_splits("cifar10:1.2.3", directory=tmp_path)
    halves = (digits.DigitsLow, digits.DigitsHigh)
    own = (digits.Digits, *halves, clips.MovingDigits, cifar.Cifar10, cifar.Cifar100)
    assert {cls.name: str(cls.VERSION) for cls in own} == splits.VERSIONS
    assert splits.VERSIONS.keys() == splits.OWN.keys()


def test_a_folder_of_images_is_told_from_an_empty_one(tmp_path):
    with pytest.raises(
        DataError, match=r"no data set\); .* if tfds has a builder 'cats'"
    ):
        open_splits("cats", directory=tmp_path)
    path = tmp_path / "cats" / "train" / "tabby" / "1.JPG"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    for directory in (tmp_path, tmp_path / "cats"):
        with pytest.raises(DataError, match=f"{path} is of a folder of images: set"):
            open_splits("cats", directory=directory)


# Remote addresses


def test_remote_addresses():
    for address in ("gs://bucket/data", "s3://b", "gs:/b", "https://host/x"):
        assert remote(address)
    for path in ("/data", "data", "~/data", "./gs:/b", "C:/data", "a/b:/c"):
        assert not remote(path)


def test_data_of_a_remote_address_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config(data=DataConfig(dir="gs://bucket/data"))
    with pytest.raises(ConfigError, match=r"^data.dir=gs://bucket/data: .* mount it, "):
        run.run_all(config, tmp_path / "run", bar=Bar)
    monkeypatch.setenv("TFDS_DATA_DIR", "s3://bucket/data")
    with pytest.raises(ConfigError, match=r"^TFDS_DATA_DIR=s3://bucket/data: is a rem"):
        run.run_all(Config(), tmp_path / "run", bar=Bar)
    assert list(tmp_path.iterdir()) == []
