"""Several seeds in one program: each run is what it would be by itself."""

import dataclasses
import functools
import json
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tinytask

from resnet_jax import cli
from resnet_jax.data.pipeline import Pipeline, open_pipeline
from resnet_jax.errors import CheckpointError, ConfigError, DivergedError, Preempted
from resnet_jax.main import default_folder
from resnet_jax.paths import flat, replaced
from resnet_jax.sweep import __main__ as sweep
from resnet_jax.sweep import estimate
from resnet_jax.train import mesh, trained
from resnet_jax.train import program as programs
from resnet_jax.train.experiment import prepare
from resnet_jax.train.replicas import common_step
from resnet_jax.train.run import run_all
from resnet_jax.train.task import make_program, make_task

# All that is drawn anew for a seed, and all that a state holds; float64, so that what
# is left of a difference is the order of sums.
BUSY = tinytask.NOISY | {
    "model.act": "rrelu",
    "train.dtype": "float64",
    "train.ema": 0.9,
    "train.max_nonfinite_updates": 1,
}
ROUNDING = 1e-10  # after three updates in float64
SUMS = 1e-6  # kept in float32


# The step


@functools.cache
def trainer(count, seeds):
    """Of these seeds on so many devices; compiled once for all tests."""
    return tinytask.trainer(BUSY | {"train.seeds": seeds}, count=count, units=2)


@functools.cache
def compiled(count, seeds):
    """(the same, the text of its compiled step)"""
    net = trainer(count, seeds)
    batches = net.program.place(net.batches(0, 1))
    lowered = net.program.steps.lower(net.state, net.data, batches, 1)
    return net, lowered.compile().as_text()


def one(seed):
    """A trainer of one seed; all have the same program."""
    net = trainer(1, (0,))
    experiment = net.experiment.with_seeds((seed,))
    config = replaced(experiment.config, {"seed": seed})
    state = tinytask.begin(make_task(experiment), config)
    return dataclasses.replace(net, experiment=experiment, state=state)


@functools.cache
def by_itself(seed):
    return one(seed).run(4)


def assert_each_by_itself(seeds, state, said):
    """Every number of every seed, as a program of this seed alone gives it."""
    for i, seed in enumerate(seeds):
        alone, said_alone = by_itself(seed)
        own, said_own = jax.tree.map(lambda x, i=i: x[i], (state, said))
        tinytask.assert_close(own.sums, alone.sums, rtol=SUMS)
        own = own.replace(sums=alone.sums)
        tinytask.assert_close((own, said_own), (alone, said_alone), rtol=ROUNDING)


COLLECTIVES = ("all-reduce", "all-gather", "collective-permute", "all-to-all")


@pytest.mark.compile
@pytest.mark.parametrize("devices", [1, 2])
def test_three_seeds_are_each_as_by_itself(devices, float64):
    """Order, augmentation, dropped paths, RReLU; three do not divide by two devices."""
    seeds = (3, 0, 5)
    together, text = compiled(devices, seeds)
    assert together.program.seeds.on_own_devices == (devices == 1)
    assert any(word in text for word in COLLECTIVES) == (devices == 2)
    assert_each_by_itself(seeds, *together.run(4))
    (a, _), (b, _) = by_itself(3), by_itself(0)
    kernel = [x.params["stem_conv"]["kernel"] for x in (a, b)]
    assert not np.allclose(*kernel, rtol=1e-3)


@pytest.mark.compile
def test_two_seeds_on_two_devices_never_talk(float64):
    together, text = compiled(2, (0, 5))
    assert_each_by_itself((0, 5), *together.run(4))
    kernel = together.state.params["stem_conv"]["kernel"]
    held = [(s.device, s.data.shape[0]) for s in kernel.addressable_shards]
    assert held == [(device, 1) for device in jax.devices()]
    assert not any(word in text for word in COLLECTIVES)


@pytest.mark.compile
def test_several_updates_in_one_call(float64):
    assert_each_by_itself((0, 5), *trainer(2, (0, 5)).run(4, k=4))


@pytest.mark.compile
def test_vmap_gives_what_the_loop_gives(float64, monkeypatch):
    """Other platforms than a CPU take it."""
    monkeypatch.setattr(mesh, "_sequential_vmap", jax.vmap)
    together = trainer.__wrapped__(1, (3, 0, 5))
    assert_each_by_itself((3, 0, 5), *together.run(4))


@pytest.mark.compile
def test_initial_states_and_scores_are_each_as_by_itself(float64):
    together = trainer(2, (0, 5))
    seeds, data = together.program.seeds, together.data
    state = together.program.init(together.experiment.seeds)
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    batch = {"index": np.arange(16, dtype=np.int32), "row": np.arange(16)}
    batches = seeds.spread({k: np.stack([x, x]) for k, x in batch.items()}, axis=0)
    sums = together.program.evaluate(variables, data, seeds.place_common(batch))
    stats = together.program.statistics(variables, data, batches, 3)
    parts = seeds.slices(jax.device_get((state, sums, stats)))
    for seed, found in zip((0, 5), parts, strict=True):
        alone, variables = one(seed), found[0].eval_variables
        shared = alone.program.seeds.place_common(batch)
        expected = (
            alone.program.init(jnp.uint32(seed)),
            alone.program.evaluate(variables, alone.data, shared),
            alone.program.statistics(variables, alone.data, shared, 3),
        )
        tinytask.assert_close(found, jax.device_get(expected), rtol=SUMS)


def test_states_are_split_and_joined_unchanged(float64):
    together = trainer(2, (0, 5))
    seeds, whole = together.program.seeds, jax.device_get(together.state)
    parts = list(seeds.split(together.state))
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(parts))
    joined = seeds.joined(parts)
    tinytask.assert_equal(jax.device_get(joined), whole)
    places = [x.sharding == seeds.sharding for x in jax.tree.leaves(joined)]
    assert all(places)


# Batches


@pytest.mark.parametrize("feed", ["resident", "streaming"])
def test_every_seed_has_an_order_of_its_own(feed, shop):
    config = shop.config({"data.feed": feed, "train.seeds": (4, 1)})
    together = open_pipeline(config)
    batches = together.train_batches()(22, 2)  # the second of them is of the next epoch
    for i, seed in enumerate((4, 1)):
        one = replaced(config, {"train.seeds": (), "seed": seed})
        alone = open_pipeline(one).train_batches()(22, 2)
        assert batches.keys() == alone.keys()
        for name in alone:
            np.testing.assert_array_equal(batches[name][i], alone[name])
    different = "index" if feed == "resident" else "image"
    assert not np.array_equal(*batches[different])


# Configs


@pytest.mark.parametrize(
    ("seeds", "rule"),
    [
        ((0, 1, 0), r"train.seeds=\(0, 1, 0\): names 0 twice"),
        ((0, -1), r"train.seeds=\(0, -1\): must be greater than or equal to 0"),
    ],
)
def test_wrong_seeds_are_refused(seeds, rule, shop):
    with pytest.raises(ConfigError, match=rule):
        shop.config({"train.seeds": seeds})


def test_seeds_on_the_command_line():
    def chosen(*fields):
        experiment, row, config = cli.chosen(str(runs.DIGITS), fields)
        return config, default_folder(experiment.name, row, config)

    config, folder = chosen("--config.train.seeds=0,2")
    assert config.train.seeds == config.seeds == (0, 2)
    assert folder == "runs/digits_preact/PreAct-20"
    one, folder = chosen("--config.seed=2")
    assert one.seeds == (2,)
    assert folder == "runs/digits_preact/PreAct-20/seed2"


def test_what_trains_one_seed_refuses_several(shop, monkeypatch, tmp_path):
    config = shop.config({"train.seeds": (0, 1), "train.spmd": "pmap"})
    with pytest.raises(ConfigError, match=r"train.spmd='pmap' trains one; use 'jit'"):
        train(config, tmp_path / "run")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    config = shop.config({"train.seeds": (0, 1)})
    with pytest.raises(ConfigError, match="several processes train one; start a run"):
        prepare(config)
    assert not (tmp_path / "run").exists()


# Runs

SEEDS = (0, 1, 2)
FIELDS = {
    "train.steps": 8,
    "data.split": "1200/200",
    "model.norm.precise": 2,
    "model.init": "lsuv",
    "model.unit.stochastic_depth": "drop",
}


def train(config, folder, **options):
    return run_all(config, folder, bar=runs.Quiet, **options)


@pytest.fixture(scope="module")
def together(shop, tmp_path_factory):
    """The folder of three seeds, trained by one program."""
    folder = tmp_path_factory.mktemp("together")
    results = train(shop.config(FIELDS | {"train.seeds": SEEDS}), folder)
    assert list(results) == [folder / f"seed{seed}" for seed in SEEDS]
    return folder


@pytest.fixture(scope="module")
def alone(shop, tmp_path_factory):
    """The folder of seed 1, trained by itself."""
    folder = tmp_path_factory.mktemp("alone") / "seed1"
    train(shop.config(FIELDS | {"seed": 1}), folder)
    return folder


# In float32, eight updates on: a rounding of 6e-8 grows to this at most, and no example
# of the few hundred changes sides.
GROWN = 1e-4


def assert_close_runs(one, other):
    """Equal files, but for rounding."""
    files = [sorted(path.name for path in folder.iterdir()) for folder in (one, other)]
    assert files[0] == files[1]
    rows = [runs.timeless(folder) for folder in (one, other)]
    for a, b in zip(*rows, strict=True):
        assert list(a) == list(b)
        assert a.pop("loss") == pytest.approx(b.pop("loss"), rel=GROWN)
        assert a == pytest.approx(b)
    for kind in ("checkpoints", "best"):
        assert runs.steps(one, kind=kind) == runs.steps(other, kind=kind)
        leaves = [runs.state(folder, kind=kind) for folder in (one, other)]
        tinytask.assert_close(*leaves, rtol=GROWN)


@pytest.mark.compile
def test_a_run_among_others_leaves_the_files_of_one_by_itself(together, alone):
    """Rows, checkpoints, precise statistics; and config.json but for the run's id."""
    own = together / "seed1"
    assert_close_runs(own, alone)
    names = ("config.json", "DONE", "result.json")
    a, b = ([json.loads((x / n).read_text()) for n in names] for x in (own, alone))
    assert a[0].pop("run") != b[0].pop("run")
    assert a[0] == b[0] and a[0]["seed"] == 1 and a[0]["train"]["seeds"] == []
    assert a[1] | {"wall_s": 0} == b[1] | {"wall_s": 0}
    assert flat(a[2] | {"wall_s": 0}) == pytest.approx(flat(b[2] | {"wall_s": 0}))
    scores = trained.load(own).scores("test")
    (last,) = [
        row
        for row in runs.timeless(own)
        if (row["split"], row["step"]) == ("test", 8) and "stats" not in row
    ]
    assert last["loss"] == pytest.approx(scores["loss"], rel=1e-5)
    assert last["top1_err"] == scores["top1_err"]


@pytest.mark.compile
def test_seeds_differ(together):
    rows = [runs.timeless(together / f"seed{seed}") for seed in SEEDS]
    losses = {tuple(row["loss"] for row in own) for own in rows}
    assert len(losses) == len(SEEDS)


@pytest.mark.compile
def test_a_run_among_others_goes_on_by_itself(shop, together, tmp_path):
    """And one by itself goes on among others."""
    longer = FIELDS | {"train.steps": 10, "model.norm.precise": 0}
    for seed in SEEDS:
        shutil.copytree(together / f"seed{seed}", tmp_path / f"seed{seed}")
    changes = {"model.norm.precise": 2}
    train(shop.config(longer | changes | {"seed": 1}), tmp_path / "seed1")
    rows = runs.timeless(tmp_path / "seed1")
    assert [r["step"] for r in rows if r["split"] == "train"] == [4, 8, 10]
    assert runs.steps(tmp_path / "seed1")[-1] == 10
    # seeds 0 and 2 are at step 8, seed 1 is done
    before = runs.listing(tmp_path / "seed1")
    results = train(shop.config(longer | changes | {"train.seeds": SEEDS}), tmp_path)
    assert runs.listing(tmp_path / "seed1") == before
    assert [result["step"] for result in results.values()] == [10, 10, 10]
    for seed in (0, 2):
        rows = runs.timeless(tmp_path / f"seed{seed}")
        assert [r["step"] for r in rows if r["split"] == "train"] == [4, 8, 10]


@pytest.mark.compile
def test_runs_that_are_done_are_left_alone(shop, together):
    before = runs.listing(together)
    results = train(shop.config(FIELDS | {"train.seeds": SEEDS}), together)
    assert runs.listing(together) == before
    told = [json.loads((path / "result.json").read_text()) for path in results]
    assert told == list(results.values())


@pytest.mark.compile
def test_runs_at_different_steps_are_refused_and_left_alone(shop, together, tmp_path):
    shutil.copytree(together / "seed0", tmp_path / "seed0")
    (tmp_path / "seed0" / "DONE").unlink()
    before = runs.listing(tmp_path)
    seeds = {"train.seeds": (0, 3), "train.steps": 12}
    with pytest.raises(CheckpointError, match=r"\(seed 0 at 8, seed 3 at 0\); train"):
        train(shop.config(FIELDS | seeds), tmp_path)
    assert runs.listing(tmp_path) == before
    (tmp_path / "seed0" / "DONE").write_text('{"step": 8, "wall_s": 1.0}')
    shutil.rmtree(tmp_path / "seed0" / "checkpoints" / "6")
    with pytest.raises(CheckpointError, match="seed0 is done with step 8, but others"):
        train(shop.config(FIELDS | seeds), tmp_path)


@pytest.mark.parametrize(
    ("kept", "step"),
    [
        ({0: [], 1: []}, 0),
        ({0: [3, 6], 1: [3, 6]}, 6),
        ({0: [3, 6], 1: [0, 3], 2: [3]}, 3),  # killed while they were saved
        ({0: [3], 1: []}, 0),  # for the first time
        ({0: [3, 6], 1: []}, None),
        ({0: [6, 9], 1: [3]}, None),
        ({0: [6, 7], 1: [3]}, None),
        ({0: [7], 1: [6]}, None),
    ],
)
def test_the_step_that_all_have(kept, step):
    if step is None:
        with pytest.raises(CheckpointError, match="the runs are not at one step"):
            common_step(kept)
    else:
        assert common_step(kept) == step


@pytest.mark.compile
def test_sigterm_saves_every_run(shop, together, tmp_path, monkeypatch):
    config = shop.config(FIELDS | {"train.seeds": SEEDS})
    read = Pipeline.train_batches

    def stopped(self, *place):
        batches = read(self, *place)

        def told(step, k):
            if step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return batches(step, k)

        return told

    with monkeypatch.context() as patch, pytest.raises(Preempted, match="step=4: "):
        patch.setattr(Pipeline, "train_batches", stopped)
        train(config, tmp_path)
    for seed in SEEDS:
        assert runs.steps(tmp_path / f"seed{seed}") == [3, 4]
    train(config, tmp_path)
    for seed in SEEDS:
        runs.assert_same_run(tmp_path / f"seed{seed}", together / f"seed{seed}")


@pytest.mark.compile
def test_a_seed_that_diverges_does_not_end_the_others(
    shop, together, tmp_path, monkeypatch
):
    config = shop.config(FIELDS | {"train.seeds": SEEDS})
    make = programs.make_train_step

    def with_nan(task, spec):
        step = make(task, spec)

        def hit(state, batch):
            there = (state.seed == 1) & (state.step == 5)
            return step(state, batch | {"image": batch["image"] + where(there)})

        return hit

    def where(there):
        return jnp.where(there, jnp.nan, 0.0)

    told = r"seed 1: step=6: loss nan or its gradient is not finite \(2 others are done"
    with monkeypatch.context() as patch, pytest.raises(DivergedError, match=told):
        patch.setattr(programs, "make_train_step", with_nan)
        train(config, tmp_path)
    for seed in (0, 2):
        assert_close_runs(tmp_path / f"seed{seed}", together / f"seed{seed}")
    lost = tmp_path / "seed1"
    assert runs.steps(lost) == [3] and not (lost / "DONE").exists()
    assert runs.rows(lost)[-1]["event"] == "not finite"
    reason = (lost / "FAILED").read_text()
    assert reason == "diverged: step=6: loss nan or its gradient is not finite\n"
    # Among the others it is not tried again; by itself it is.
    before = runs.listing(tmp_path)
    with pytest.raises(DivergedError, match=told):
        train(config, tmp_path)
    assert runs.listing(tmp_path) == before
    train(shop.config(FIELDS | {"train.seeds": (1,)}), tmp_path)
    assert not (lost / "FAILED").exists()
    assert_close_runs(lost, together / "seed1")


KILLED = """
import os, signal
from resnet_jax.train.checkpoint import Checkpoints
def save(self, step, state, *, meta, save=Checkpoints.save):
    if step == 6 and self.directory.parent.name == "seed1":
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, step, state, meta=meta)
    self.wait()
Checkpoints.save = save
"""


@pytest.mark.process
def test_killed_between_the_saves_of_two_runs(shop, tmp_path, capsys):
    """Seed 0 has saved step 6, seed 1 has not: both go on from step 3."""
    changes = {"train.steps": 8, "train.seeds": "0,1"}
    whole = shop.train(shop.folder / "killed", changes)
    assert capsys.readouterr().out.count("done: test error") == 2
    run = shop.run(tmp_path, changes, before=KILLED)
    assert run.returncode == -signal.SIGKILL
    kept = [runs.steps(tmp_path / f"seed{seed}") for seed in (0, 1)]
    assert kept == [[3, 6], [3]]
    shop.train(tmp_path, changes)
    for seed in (0, 1):
        runs.assert_same_run(tmp_path / f"seed{seed}", whole / f"seed{seed}")


def test_a_sweep_starts_a_run_for_each_seed(capsys):
    argv = ["", "--config", str(runs.DIGITS), "--config.train.seeds=0,1", "--commands"]
    assert sweep.main(argv) == 2
    said = capsys.readouterr().err
    assert "train.seeds=(0, 1): a sweep starts a run for each seed" in said
    assert said.count("\n") == 1


def test_the_dry_run_compiles_what_several_seeds_run(shop):
    """Two updates a call, of two seeds on two devices."""
    config = shop.config({"train.seeds": (0, 1), "train.steps_per_call": 2})
    experiment = estimate.prepared(config)
    program = make_program(experiment)
    state, data, batches, k = estimate.arguments(experiment, program)
    new, seen = jax.eval_shape(program.steps, state, data, batches, k)
    assert seen["loss"].shape == (2, 2) and batches["row"].shape == (2, 2, 64)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, state)
    assert new.params["stem_conv"]["kernel"].shape[0] == 2
