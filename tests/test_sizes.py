"""Training at several sizes, an epoch each in turn: values, programs, resuming."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tinytask

from resnet_jax.config.schema import VERSION
from resnet_jax.data.pipeline import Pipeline
from resnet_jax.data.preprocessing import scaled_shape
from resnet_jax.errors import CheckpointError, ConfigError, Preempted
from resnet_jax.runs.compatibility import check_same_config
from resnet_jax.sweep import estimate
from resnet_jax.train import program as programs
from resnet_jax.train.experiment import prepare
from resnet_jax.train.run import run_all
from resnet_jax.train.schedule import LoopSpec, SizeSchedule
from resnet_jax.train.task import make_program

# Of 1,437 digits an epoch is 5.6 steps: epochs begin at steps 0, 6, 12, 17.
NET = {"model.unit.branch": "single", "model.depth": 5, "model.width": 0.5}
FIELDS = {
    "data.batch_size": 256,
    "data.sizes": (6, 8),
    "train.epochs": 3.0,
    "train.steps_per_call": 1,
    "train.eval_every": 5,
    "train.checkpoint_every": 3,
    "optim.learning_rate": 0.2,
    "optim.schedule": "cosine",
}


SPEC = LoopSpec(
    steps=20, eval_every=100, checkpoint_every=100, batch_size=256,
    steps_per_epoch=5.6, steps_per_call=4,
)  # fmt: skip


def made(shop, changes=()):
    data = {"data.dir": str(shop.folder / "tfds")}
    net = {} if "model.name" in changes else NET
    return tinytask.config(FIELDS | net | data | dict(changes))


def train(config, folder):
    run_all(config, folder, bar=runs.Quiet)


# Whose turn it is


@pytest.mark.parametrize("examples, batch", [(10, 4), (12, 4), (7, 1), (5, 16)])
def test_the_size_of_a_batch_is_that_of_its_first_image(examples, batch):
    schedule = SizeSchedule((6, 8, 7), examples, batch)
    epochs = [step * batch // examples for step in range(60)]
    assert [schedule.size(step) for step in range(60)] == [
        (6, 8, 7)[e % 3] for e in epochs
    ]
    for step in range(40):
        later = next(s for s in range(step, 60) if epochs[s] != epochs[step])
        assert schedule.steps_left(step) == later - step


def test_no_call_crosses_an_epoch():
    spec = dataclasses.replace(SPEC, sizes=SizeSchedule((6, 8), 1437, 256))
    step, begins = 0, []
    while step < spec.steps:
        begins.append(step)
        step += spec.updates_per_call(step)
    assert begins == [0, 4, 6, 10, 12, 16, 17]
    assert SPEC.updates_per_call(6) == 4


@pytest.mark.parametrize(
    "shape, size, expected",
    [
        ((8, 8, 1), 6, (6, 6, 1)),
        ((4, 12, 8, 3), 6, (4, 9, 6, 3)),
        ((30, 40, 3), 60, (60, 80, 3)),
    ],
)
def test_the_shorter_side_is_scaled(shape, size, expected):
    assert scaled_shape(shape, size) == expected


# Values


def triangle(old, new):
    """[new old]: bilinear weights, as wide as a new pixel where they shrink."""
    scale = old / new
    width = max(scale, 1.0)
    centre = (np.arange(new)[:, None] + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(centre - np.arange(old)[None]) / width)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def by_hand(preprocess, size):
    """Its training images, scaled by two products of matrices."""

    def scaled(key, batch, *, train):
        images = preprocess(key, batch, train=train)
        rows, columns = (triangle(side, size) for side in images.shape[1:3])
        return jnp.einsum("ih,bhwc,jw->bijc", rows, images, columns)

    return scaled


@pytest.mark.compile
@pytest.mark.parametrize(
    ("spmd", "sizes"),
    [("jit", (6, 11)), ("pmap", (6,))],  # images are scaled alike by both
    ids=["jit", "pmap"],
)
def test_a_step_at_a_size_is_one_on_images_of_that_size(spmd, sizes, float64):
    fields = {"train.dtype": "float64", "train.spmd": spmd, "data.augment": "crop"}
    net = tinytask.trainer(fields, count=2, units=1)
    whole, _ = net.run(1)
    for size in sizes:
        pipeline = net.experiment.pipeline
        inputs = dataclasses.replace(pipeline.inputs)
        vars(inputs)["preprocess"] = by_hand(pipeline.preprocess, size)
        other = dataclasses.replace(
            net.experiment, pipeline=dataclasses.replace(pipeline, inputs=inputs)
        )
        found, expected = (
            dataclasses.replace(net, program=program).run(1)
            for program in (
                make_program(net.experiment, size=size),
                make_program(other),
            )
        )
        tinytask.assert_close(found, expected, rtol=1e-5)
        kernel = [x.params["stem_conv"]["kernel"] for x in (found[0], whole)]
        assert not np.allclose(*kernel, rtol=1e-3)


def test_images_that_are_evaluated_keep_their_size(shop):
    preprocess = prepare(made(shop)).pipeline.preprocess_at(6)
    batch = {"image": np.ones((2, 8, 8, 1), np.uint8), "row": np.arange(2)}
    key = jax.random.key(0)
    assert preprocess(key, batch, train=True).shape == (2, 6, 6, 1)
    assert preprocess(None, batch, train=False).shape == (2, 8, 8, 1)


# Runs


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory):
    """(folder of an uninterrupted run, step programs that it traced)"""
    folder, traced = tmp_path_factory.mktemp("whole"), []
    make = programs.make_train_step

    def counted(task, spec):
        step = make(task, spec)

        def noted(state, batch):
            images = task.preprocess(jax.random.key(0), batch, train=True)
            traced.append(images.shape)
            return step(state, batch)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "make_train_step", counted)
        train(made(shop), folder)
    return folder, traced


@pytest.mark.compile
def test_digits_train_by_two_programs(whole):
    folder, traced = whole
    assert traced == [(256, 6, 6, 1), (256, 8, 8, 1)]
    rows = runs.rows(folder)
    test = [row["top1_err"] for row in rows if row["split"] == "test"]
    assert [row["step"] for row in rows if row["split"] == "test"] == [5, 10, 17]
    assert test[-1] < test[0] < 90, test  # which is chance
    compiled = [row for row in rows if "compile_s" in row]
    assert [row["step"] for row in compiled] == [5, 10]  # once a size


@pytest.mark.compile
def test_a_pyramid_trains_at_two_sizes(shop, tmp_path):
    """As SPP-net does; digits, eight epochs."""
    changes = {
        "model.levels": (1, 2), "data.batch_size": 64, "train.epochs": 8.0,
        "train.eval_every": 180, "train.checkpoint_every": 180,
    }  # fmt: skip
    train(made(shop, changes), tmp_path / "run")
    last = [row for row in runs.rows(tmp_path / "run") if row["split"] == "test"][-1]
    assert last["top1_err"] < 20


@pytest.mark.compile
@pytest.mark.parametrize("step", [8, 14])
def test_a_run_stopped_within_an_epoch_ends_as_one_that_was_not(
    step, shop, whole, tmp_path, monkeypatch
):
    read = Pipeline.train_batches

    def stopped(self, *place):
        batches = read(self, *place)

        def told(at, k):
            if at == step - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return batches(at, k)

        return told

    with monkeypatch.context() as patch, pytest.raises(Preempted, match=f"step={step}"):
        patch.setattr(Pipeline, "train_batches", stopped)
        train(made(shop), tmp_path)
    assert runs.steps(tmp_path)[-1] == step
    train(made(shop), tmp_path)
    runs.assert_same_run(tmp_path, whole[0])


@pytest.mark.compile
def test_a_streamed_run_is_the_same(shop, whole, tmp_path):
    train(made(shop, {"data.feed": "streaming", "train.steps": 8}), tmp_path)
    ours, theirs = (
        [row["loss"] for row in runs.rows(folder) if row["step"] == 5]
        for folder in (tmp_path, whole[0])
    )
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.compile
def test_several_updates_a_call_are_the_same(shop, whole, tmp_path):
    train(made(shop, {"train.steps_per_call": 3, "train.steps": 10}), tmp_path)
    ours, theirs = (
        [row["loss"] for row in runs.rows(folder) if row["step"] in (5, 10)]
        for folder in (tmp_path, whole[0])
    )
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.compile
def test_the_dry_run_compiles_every_size(shop):
    config = made(shop, {"data.sizes": (4, 8)})
    found = estimate.estimate(config, level="time")
    assert found.step_s > 0
    one = estimate.estimate(made(shop, {"data.sizes": ()}), level="compile")
    assert found.temporary_bytes == one.temporary_bytes  # that of the largest
    assert found.multiply_adds == one.multiply_adds


# Configs


VGG = {
    "model.name": "vgg",
    "model.depth": 7,
    "model.size": "digits",
    "model.width": 0.25,
    "data.sizes": (8, 16),
}


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            VGG,
            r"data.sizes=\(8, 16\): model.name='vgg' flattens its last map, which must "
            r"be of one size; set model.levels",
        ),
        (
            {"data.sizes": (8, 4), "model.levels": (1, 2)},
            r"data.sizes=\(8, 4\): at 4 pixels model.levels=\(1, 2\): 2 bins per axis "
            "do not fit a map of 1x1",
        ),
        ({"data.sizes": (0, 8)}, r"data.sizes=\(0, 8\): must be greater than or"),
    ],
)
def test_sizes_that_a_net_does_not_take_are_refused(changes, message, shop):
    with pytest.raises(ConfigError, match=message):
        prepare(made(shop, changes))


def test_a_flattened_map_takes_sizes_with_a_pyramid(shop):
    prepare(made(shop, VGG | {"model.levels": (1, 2)}))


def test_a_run_from_before_a_field_was_there_goes_on(shop, tmp_path):
    """Its default is what such runs did."""

    def refuse(config):
        check_same_config(
            tmp_path, config.to_dict(), None,
            allow_data_change=False, consequences=lambda old: [],
        )  # fmt: skip

    config = made(shop, {"data.sizes": ()})
    old = json.loads(json.dumps({"schema": VERSION} | config.to_dict()))
    fields = (("data", "sizes"), ("data", "protocol"), ("model", "auxiliary_loss"))
    for section, name in fields:
        del old[section][name]
    (tmp_path / "config.json").write_text(json.dumps(old))
    refuse(config)
    with pytest.raises(CheckpointError, match=r"\(data.sizes: \[\] -> \[6, 8\]\)"):
        refuse(made(shop))
