"""The command line and bad input: one line that names the fault, and nothing made."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tinyset

from resnet_jax import cli
from resnet_jax.errors import ConfigError
from resnet_jax.evaluate import main as evaluate
from resnet_jax.main import main
from resnet_jax.report.__main__ import main as report
from resnet_jax.sweep.__main__ import main as sweep
from resnet_jax.train import program as programs


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Tests stand in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def told(capsys, *argv):
    """(exit code, lines of stderr) of a command that must leave nothing behind."""
    before = sorted(os.listdir())
    code = main(["main", *map(str, argv)])
    said = capsys.readouterr()
    assert said.out == ""
    assert sorted(os.listdir()) == before, "something was created"
    return code, said.err.splitlines()


# Configs


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        (
            ["model.dept=8", "optim.lr=1", "seeed=2"],
            [
                "model.dept: config.model='cifar_resnet' has no field 'dept'; it has ",
                "optim.lr: config.optim='sgd' has no field 'lr'; it has learning_rate,",
                "seeed: config has no field 'seeed'; it has model, data, optim, train,",
            ],
        ),
        (["model.dept=8"], ["; did you mean 'model.depth'?"]),
        (
            ["model.depth=ten", "data.batch_size=1.5", "model.norm.group=some"],
            [
                "model.depth='ten': must be a valid integer",
                "model.norm.group='some': must be 'global' or 'device' or must be a",
                "data.batch_size=1.5: must be a valid integer",
            ],
        ),
        (["model=5"], ["model.name='5': must be one of cifar_resnet, imagenet_resnet"]),
        (["train.steps=True"], ["train.steps=True: must be a valid integer"]),
        (["optim.learning_rate=nan"], ["optim.learning_rate='nan': must be a valid"]),
        (["optim.learning_rate=inf"], ["optim.learning_rate='inf': must be a valid"]),
        (
            ["optim.schedule=steps", "optim.schedule.boundaries=(0.5,nan)"],
            ["optim.schedule.boundaries='(0.5,nan)': must be"],
        ),
        (
            [
                "data.batch_size=0",
                "optim.learning_rate=-1",
                "train.steps=-5",
                "seed=-1",
            ],
            [
                "data.batch_size=0: must be greater than or equal to 1",
                "optim.learning_rate=-1: must be greater than 0",
                "train.steps=-5: must be greater than or equal to 1",
                "seed=-1: must be greater than or equal to 0",
            ],
        ),
        (
            ["model.unit.order=preact", "optim.name=lars", "model.dept=8"],
            [
                "model.dept: config.model='cifar_resnet' has no field",
                "model.unit.order='preact': must be 'original', 'norm_after_addition'",
                "optim.name='lars': must be one of sgd, adamw",
            ],
        ),
        (["data.split=half"], ["data.split='half': must match pattern"]),
        (
            ["data.split=2k/1k"],
            ["data.split='2k/1k': asks for 2000 + 1000 of the 1437"],
        ),
        (["train.epochs=None"], ["train.epochs=None: set it, or train.iterations"]),
        (["model.depth=21"], ["model.depth=21: must be 6n+2 (e.g. 110)"]),
        (["model.act.slope=0.5"], ["config.model.act='relu' has no field 'slope'"]),
        (["model.norm.group=7"], ["model.norm.group=7: does not divide the 64 images"]),
        (["data.batch_size=63"], ["data.batch_size=63: is not divisible by 2 devices"]),
        (["train.accumulate=3"], ["data.batch_size=64: is not divisible by 2 devices"]),
        (["train.dtype=float64"], ["train.dtype='float64': needs JAX_ENABLE_X64=1"]),
        (
            ["optim.schedule=steps", "optim.schedule.boundaries=(30, 99999)"],
            ["optim.schedule.boundaries=(30.0, 99999.0): beyond the last of"],
        ),
        (
            ["model.unit.join=scaled", "model.unit.shortcut=none"],
            ["model.unit.join='scaled': "],
        ),
        (
            ["data.augment=imagenet_scale"],
            ["data.augment='imagenet_scale': is for images of 3 channels, but those"],
        ),
        (["train.steps"], ["--config.train.steps: has no value"]),
        (["model.width=1e308"], ["model.width: is too large to compute with"]),
        (["model.width=1e30"], ["model.name='cifar_resnet': would have "]),
        ([f"data.batch_size=1{'0' * 400}"], ["00: must be less than 2**31"]),
        (["train.seeds=0,1", "seed=3"], ["seed=3: train.seeds=(0, 1) are trained"]),
        (["train.steps=99999"], ["train.steps=99999: the schedule ends at "]),
        # what a family cannot be
        (
            ["model.name=imagenet_resnet", "model.depth=27"],
            ["model.depth=27: must be "],
        ),
        (
            [
                "model.unit.branch=bottleneck",
                "model.depth=11",
                "model.unit.branch.cardinality=32",
                "model.unit.branch.group_width=1.0",
            ],
            ["32 groups must divide the 2 input and 2 output channels of stage1"],
        ),
        (
            [
                "model.unit.branch=bottleneck",
                "model.depth=11",
                "model.unit.branch.group_width=64.1",
            ],
            ["model.unit.branch.group_width=64.1: must be a whole number"],
        ),
        (["data.batch_size=100000000000000000000"], ["00: must be less than 2**31"]),
        (["train.epochs=1e300"], ["train.epochs=1e+300: gives 2.25e+301 iterations"]),
        (
            [
                "model.name=imagenet_resnet",
                "model.depth=18",
                "data.batch_size=2",
                "model.norm.group=1",
            ],
            ["model.norm.group=1: BatchNorm over one value per channel, of 1 example"],
        ),
        (["model.levels=(2,3)"], ["model.levels=(2, 3): 3 bins per axis do not fit a"]),
        (
            ["model.name=resnet_3d", "model.depth=18", "data.name=moving_digits"],
            ["clips of 8x16x16 (frames, height, width) are too small for the net"],
        ),
    ],
)
def test_a_wrong_field_is_named_and_nothing_made(shop, fields, problems, capsys):
    changes = [f"--config.{field}" for field in fields]
    basic = {"model.unit.branch": "basic", "model.depth": 8}
    code, lines = told(capsys, *shop.command("run", basic), *changes)
    assert code == 2
    assert len(lines) == len(problems), lines
    for problem in problems:
        assert any(
            line.startswith("error[config] ") and problem in line for line in lines
        )


FILES = {
    "empty.py": "",
    "syntax.py": "\ndef get_config(:\n",
    "broken.py": "def get_config(row='a'):\n    return undefined\n",
    "other.py": "def get_config(row='a'):\n    return {'model': {'depth': 8}}\n",
    "field.py": "from resnet_jax import config\n"
    "def get_config(row='a'):\n"
    "    return config.configured({'model.dept': 8}, {'a': {}}, row)\n",
}


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("none.py", "none.py: no such experiment file"),
        (".", ".: no such experiment file"),
        (
            "cifar_preac",
            "cifar_preac: no such experiment file; did you mean 'cifar_preact'?",
        ),
        ("other", "other: no such experiment file; there are activation_order, all_"),
        ("empty.py", "empty.py: has no get_config(row)"),
        ("syntax.py", "syntax.py:2: invalid syntax"),
        ("broken.py", "broken.py:2: NameError: name 'undefined' is not defined"),
        ("other.py", "other.py: get_config returns dict, must return"),
        ("field.py", "model.dept: config.model='cifar_resnet' has no field 'dept'"),
        ("field.py:../../b", "row '../../b': this experiment has a"),
        (
            f"{runs.DIGITS}:PreAct-21",
            "row 'PreAct-21': this experiment has PreAct-20, ResNet-20; did you mean "
            "'PreAct-20'?",
        ),
    ],
)
def test_a_wrong_experiment_file_is_named(reference, problem, capsys):
    for name, text in FILES.items():
        with open(name, "w") as file:
            file.write(text)
    code, lines = told(capsys, "--config", reference, "--workdir", "run")
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"error[config] {problem}")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--config=x.py", "--workdir="], "an option names no folder"),
        ([], "the following arguments are required: --config"),
        (["--config"], "argument --config: expected one argument"),
        (["--config", runs.DIGITS, "train"], "train: not understood"),
        (["--config", runs.DIGITS, "--wrokdir=x"], "--wrokdir=x: not understood"),
        (["--config", runs.DIGITS, "--lr", "1"], "--lr: not understood"),
    ],
)
def test_wrong_usage_is_one_line(argv, problem, capsys):
    code, lines = told(capsys, *argv)
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"error[config] {problem}")


@pytest.mark.process
def test_the_command_is_answered_without_jax():
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "resnet_jax.main"],
        env=os.environ | {"PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
        timeout=runs.LIMIT,
    )
    said = [line for line in run.stderr.splitlines() if "import time" not in line]
    assert run.returncode == 2
    assert len(said) == 1 and said[0].startswith("error[config]")
    assert "| jax\n" not in run.stderr
    # The first signal is answered by `cli.run`, so nothing slow is imported before it.
    before = run.stderr.partition("resnet_jax.config.experiment_file")[0]
    assert "resnet_jax.cli" in before and "pydantic" not in before


@pytest.mark.parametrize(
    ("error", "variables", "kind", "code", "words"),
    [
        (MemoryError("32 GiB"), {}, "memory", 6, "not enough (32 GiB); lower data."),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"),
            {},
            "memory",
            6,
            "(RESOURCE_EXHAUSTED: Out of memory); lower",
        ),
        (
            ValueError("[/a.cc:1] Gloo AllGather failed: closed by peer"),
            {cli.ADDRESS: "localhost:1"},
            "peer",
            143,
            "another process of this run has ended or does not answer ([/a.cc:1] Gloo",
        ),
    ],
)
def test_failures_of_a_machine_are_one_line(
    capsys, monkeypatch, error, variables, kind, code, words
):
    def command(arguments):
        raise error

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cli.run(command, ["main"], text="") == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error[{kind}] ") and words in line
    with pytest.raises(type(error)):
        cli.run(command, ["main", "--debug"], text="")


def test_a_bug_keeps_its_traceback():
    def command(arguments):
        raise ValueError("Gloo")

    with pytest.raises(ValueError, match="Gloo"):
        cli.run(command, ["main"], text="")


def test_help_explains_the_command(capsys):
    assert main(["main", "--help"]) == 0
    assert "--allow_data_change" in capsys.readouterr().out


def test_debug_shows_where_an_error_comes_from():
    with pytest.raises(ConfigError, match="no such experiment file"):
        main(["main", "--config=none.py", "--debug"])


def test_a_call_does_not_remember_the_one_before(shop, capsys):
    for width, problem in (("-1", "model.width=-1:"), ("-2", "model.width=-2:")):
        argv = [*shop.command("run"), f"--config.model.width={width}"]
        code, lines = told(capsys, *argv)
        assert code == 2
        assert [problem in line for line in lines] == [True]


# Folders


def test_the_workdir_is_a_link_to_nowhere(shop, capsys):
    pathlib.Path("link").symlink_to("nowhere")
    code, lines = told(capsys, *shop.command("link/run"))
    assert code == 2 and not pathlib.Path("nowhere").exists()
    assert lines == [
        "error[config] workdir=link/run: link is a link to nowhere, which is not "
        "there; make that folder, or name another"
    ]


@pytest.mark.parametrize("command", [main, evaluate, report, sweep])
def test_a_remote_folder_is_refused_and_nothing_made(command, capsys):
    option = "--runs" if command in (report, sweep) else "--workdir"
    first = [str(runs.DIGITS)] if command is report else []
    config = ["--config", str(runs.DIGITS)] if command in (main, sweep) else []
    assert command(["", *first, *config, option, "gs://bucket/run"]) == 2
    said = capsys.readouterr().err
    assert "gs://bucket/run: is a remote address; mount it and name" in said
    assert said.count("\n") == 1 and os.listdir() == []


def test_the_workdir_is_a_file(shop, capsys):
    with open("file", "w") as file:
        file.write("kept")
    for workdir in ("file", "file/below"):
        code, lines = told(capsys, *shop.command(workdir))
        assert code == 2
        assert lines == [
            f"error[config] workdir={workdir}: file is a file; name a folder"
        ]
    with open("file") as file:
        assert file.read() == "kept"


def test_the_workdir_cannot_be_written(shop, tmp_path, capsys):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere")
    code, lines = told(capsys, *shop.command(folder / "run"))
    assert code == 2
    assert lines == [
        f"error[config] workdir={folder / 'run'}: {folder} cannot be written"
    ]


@pytest.mark.parametrize(
    "field, value, library",
    [("tensorboard", "True", "tensorboardX"), ("wandb", "'mine'", "wandb")],
)
def test_a_tracker_is_asked_for_and_not_there(
    field, value, library, shop, monkeypatch, capsys
):
    monkeypatch.setattr("resnet_jax.train.experiment.find_spec", lambda name: None)
    changes = {f"train.{field}": value.strip("'")}
    code, lines = told(capsys, *shop.command("run", changes))
    assert code == 2
    told_so = f"error[config] train.{field}={value}: {library} is not installed; pip"
    assert lines[0].startswith(told_so)


@pytest.mark.process
def test_three_devices_cannot_share_a_batch(shop, tmp_path):
    run = shop.run(tmp_path / "run", devices=3)
    assert run.returncode == 2
    assert run.stderr == (
        "error[config] data.batch_size=64: is not divisible by 3 devices times "
        "train.accumulate=1\n"
    )
    assert not (tmp_path / "run").exists()


# Data


def tiny(folder, train, **kwargs):
    """Prepares a data set in a folder of its own; the changes that name it."""
    folder.mkdir()
    examples = {"train": train, "test": tinyset.pairs(6)}
    prepared = tinyset.prepare(folder, examples=examples, **kwargs)
    return prepared, {"data.name": "tiny", "data.dir": folder, "data.batch_size": 2}


GOOD = tinyset.images(1)[0]


@pytest.mark.parametrize(
    ("image", "label", "place", "problem"),
    [
        (GOOD, -1, "data.num_classes=10: label -1 at train[", "labels must be 0..9"),
        (GOOD[:, :7], 1, "train[", "undeclared image (image is 8x7, declared as 8x8"),
        (b"II*\0", 1, "train[", "unsupported image (image is a TIFF file); convert it"),
        (tinyset.encoded(GOOD, "jpeg")[:200], 1, "train[", "damaged image"),
        (b"", 1, "train[", "damaged image"),
    ],
)
@pytest.mark.parametrize("feed", ["resident", "streaming"])
def test_a_bad_example_is_named(
    shop, tmp_path, image, label, place, problem, feed, capsys
):
    train = [*tinyset.pairs(6), (image, label)]
    _, changes = tiny(tmp_path / "data", train, encoding="jpeg")
    code, lines = told(capsys, *shop.command("run", changes | {"data.feed": feed}))
    assert (code, len(lines)) == (3, 1)
    assert lines[0].startswith(f"error[data] {place}")
    assert problem in lines[0]


def test_a_label_past_the_last_class_is_named(shop, tmp_path, capsys):
    folder, changes = tiny(tmp_path / "data", tinyset.pairs(10))
    tinyset.edit(
        folder,
        lambda f: f["featuresDict"]["features"]["label"]["classLabel"].update(
            numClasses="9"
        ),
        file="features.json",
    )
    code, lines = told(capsys, *shop.command("run", changes))
    assert code == 3
    assert lines[0].startswith("error[data] data.num_classes=9: label 9 at train[")


def test_a_flipped_bit_in_the_records_is_named(shop, tmp_path, capsys):
    folder, changes = tiny(tmp_path / "data", tinyset.pairs(40))
    (shard,) = folder.glob("tiny-train.array_record-*")
    data = bytearray(shard.read_bytes())
    filled = np.flatnonzero(np.frombuffer(data, np.uint8))
    data[filled[len(filled) // 3]] ^= 1
    shard.write_bytes(data)
    code, lines = told(capsys, *shop.command("run", changes))
    assert code == 3
    assert len(lines) == 1 and "error[data] train[" in lines[0]
    assert shard.name in lines[0]


def test_the_classes_of_model_and_data_differ(shop, capsys):
    code, lines = told(capsys, *shop.command("run", {"model.num_classes": 7}))
    assert code == 3
    assert lines == [
        "error[data] model.num_classes=7: digits has 10 classes; leave it out, or name "
        "another data set"
    ]


def test_cifar_offline_is_told_within_seconds(shop, tmp_path, capsys, monkeypatch):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    config = runs.ROOT / "experiments" / "cifar_preact.py"
    folder = tmp_path / "empty"
    code, lines = told(
        capsys, "--config", config, f"--config.data.dir={folder}", "--workdir=run"
    )
    assert (code, len(lines)) == (3, 1)
    assert lines[0].startswith(
        f"error[data] data.dir={folder}: holds neither the data set nor "
        "cifar-10-binary.tar.gz"
    )
    assert f"place the archive in {folder}" in lines[0]


# Numbers that are not finite


@pytest.fixture
def nan_at_5(monkeypatch):
    """The batch of step 5 holds NaN, while this is in use."""
    make = programs.make_train_step

    def with_nan(task, spec):
        step = make(task, spec)

        def hit(state, batch):
            add = jnp.where(state.step == 5, jnp.nan, 0.0)
            return step(state, batch | {"image": batch["image"] + add})

        return hit

    with monkeypatch.context() as patch:
        patch.setattr(programs, "make_train_step", with_nan)
        yield patch


def assert_finite(workdir):
    for name, leaf in runs.state(workdir).items():
        assert np.isfinite(leaf).all(), name


def diverged(shop, workdir, changes, capsys):
    """stderr of a run that diverges."""
    assert main(["main", *shop.command(workdir, changes)]) == 5
    return capsys.readouterr().err


@pytest.mark.compile
def test_a_batch_of_nan_is_left_out_and_counted(shop, tmp_path, nan_at_5):
    changes = {"train.steps": 12, "train.max_nonfinite_updates": 1}
    workdir = shop.train(tmp_path / "run", changes)
    (event,) = [row for row in runs.rows(workdir) if "event" in row]
    assert event.items() >= {
        "step": 6, "event": "not finite", "loss": None, "nonfinite": {"loss": "nan"}
    }.items()  # fmt: skip
    trained = [row for row in runs.rows(workdir) if "lr" in row]
    assert [(r["step"], r["n"], r["skipped"]) for r in trained] == [
        (4, 256, 0),
        (8, 192, 1),
        (12, 256, 1),
    ]
    assert_finite(workdir)
    assert runs.state(workdir)["step"] == 12


@pytest.mark.compile
def test_a_batch_of_nan_stops_a_run_that_may_skip_none(
    shop, tmp_path, nan_at_5, capsys
):
    workdir, changes = tmp_path / "run", {"train.steps": 12}
    said = diverged(shop, workdir, changes, capsys)
    assert "error[diverged] step=6: loss nan or its gradient is not" in said
    assert runs.rows(workdir)[-1]["event"] == "not finite"
    assert runs.steps(workdir) == [3]
    assert_finite(workdir)
    nan_at_5.undo()
    shop.train(workdir, changes)
    assert [(row["split"], row["step"]) for row in runs.rows(workdir)] == [
        (split, step) for step in (4, 8, 12) for split in ("train", "test")
    ]


def test_divergence_ends_a_run_and_spares_its_checkpoints(shop, tmp_path, capsys):
    workdir = tmp_path / "run"
    changes = {"optim.learning_rate": 1e9, "train.checkpoint_every": 1}
    assert "lower optim.learning_rate" in diverged(shop, workdir, changes, capsys)
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "not finite"
    assert last["step"] <= 5
    assert runs.steps(workdir)[-1] < last["step"]
    assert_finite(workdir)


# The environment


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"JAX_COORDINATOR_ADDRESS": ""}, "ADDRESS='': must be HOST:PORT, or unset"),
        ({"JAX_COORDINATOR_ADDRESS": "host"}, "='host': must be HOST:PORT, or unset"),
        ({"JAX_NUM_PROCESSES": "two"}, "PROCESSES='two': must be a number, or unset"),
        ({"JAX_NUM_PROCESSES": "2"}, "=2: needs JAX_COORDINATOR_ADDRESS=HOST:PORT"),
        (
            {
                "JAX_COORDINATOR_ADDRESS": "host:99",
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": "2",
            },
            "JAX_PROCESS_ID=2: must be 0 to 1, below JAX_NUM_PROCESSES=2",
        ),
    ],
)
def test_variables_of_several_processes(variables, told):
    with pytest.raises(ConfigError, match=told):
        cli.distributed(variables)


def test_processes_that_a_cluster_counts():
    assert cli.distributed({}) == {}
    one = {"JAX_COORDINATOR_ADDRESS": "host:99"}
    assert cli.distributed(one) == {"num_processes": None, "process_id": None}
    both = one | {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "0"}
    assert cli.distributed(both) == {"num_processes": 2, "process_id": 0}
