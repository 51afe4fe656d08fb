"""Runs that begin with a cut network, and the command that makes them."""

import json
import shutil

import numpy as np
import pytest
import runs

from resnet_jax import evaluate
from resnet_jax.main import main
from resnet_jax.models import complexity, serialize
from resnet_jax.prune.__main__ import main as prune
from resnet_jax.train import cutting, loaded

TINY = {"model.unit.order": "full_pre", "optim.scale_l1": 1e-2, "train.steps": 8}
SLIM = {"train.prune": "slimming", "train.prune.share": 0.3, "optim.scale_l1": 0.0}
LASSO = {"train.prune": "lasso", "train.prune.speedup": 1.3, "optim.scale_l1": 0.0}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return runs.Workshop.open(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def source(shop, tmp_path_factory):
    """A finished run."""
    return shop.train(tmp_path_factory.mktemp("source"), TINY)


def fields(source, how, **others):
    return TINY | how | {"train.start_from": source} | others


def record(folder):
    return json.loads((folder / "cut.json").read_text())


@pytest.mark.compile
@pytest.mark.parametrize("how", [SLIM, LASSO], ids=["slimming", "lasso"])
def test_a_run_begins_with_a_cut_network(shop, source, tmp_path, how, capsys):
    """Its folder holds the network, which other commands take, and what was cut."""
    run = shop.train(tmp_path / "run", fields(source, how))
    cut = record(run)
    spec = serialize.read(run / "spec.json")
    parts, adds = complexity.counts(spec.build(), (8, 8, 1))
    assert [cut["params"][1], cut["multiply_adds"][1]] == [parts.params, adds]
    assert cut["params"][0] > parts.params
    assert cut["start_from"] == str(source) and cut["step"] == 8
    assert any(layer["kept"] < layer["channels"] for layer in cut["layers"])
    derived = json.loads((run / "config.json").read_text())["derived"]
    assert derived["num_params"] == parts.params
    opened = loaded.load(run)
    assert opened.spec == spec and opened.step == 8
    assert opened.predict(np.zeros((2, 8, 8, 1), np.uint8)).shape == (2, 10)
    capsys.readouterr()
    assert evaluate.main(["evaluate", "--workdir", str(run)]) == 0
    scored = json.loads(capsys.readouterr().out)
    last = [row for row in runs.timeless(run) if row["split"] == "test"][-1]
    assert scored["top1_err"] == last["top1_err"]


@pytest.mark.compile
def test_step_0_is_the_network_as_it_was_cut(shop, source, tmp_path):
    """Scored before its first update, and trained from there after a stop."""
    whole = shop.train(tmp_path / "whole", fields(source, SLIM))
    arguments = ["prune", "--workdir", str(source), "--method", "slimming"]
    arguments += ["--share", "0.3", "--out", str(tmp_path / "out")]
    arguments += ["--config.train.steps=8"]
    assert prune([*arguments, "--cut_only"]) == 0
    half = tmp_path / "out" / "pass1"
    assert record(half) == record(whole) | {"seconds": record(half)["seconds"]}
    assert not (half / "DONE").exists() and loaded.load(half).step == 0
    assert prune(arguments) == 0
    assert runs.timeless(half) == runs.timeless(whole)


@pytest.mark.compile
def test_passes_cut_what_the_one_before_has_trained(shop, source, tmp_path, capsys):
    """And it resumes without the run that it began with."""
    copy = shutil.copytree(source, tmp_path / "copy")
    arguments = ["prune", "--workdir", str(copy), "--method", "slimming"]
    arguments += ["--share", "0.2", "--cap", "0.5", "--passes", "2"]
    arguments += ["--out", str(tmp_path / "out"), "--config.train.steps=4"]
    assert prune(arguments) == 0
    table = capsys.readouterr().out.splitlines()
    first, second = (tmp_path / "out" / f"pass{k}" for k in (1, 2))
    assert record(second)["multiply_adds"][0] == record(first)["multiply_adds"][1]
    rate = {
        folder: json.loads((folder / "config.json").read_text())["optim"]["scale_l1"]
        for folder in (first, second)
    }
    assert rate == {first: TINY["optim.scale_l1"], second: 0.0}
    assert len(table) == 3 and str(second) in table[2]
    shutil.rmtree(copy / "checkpoints")
    assert prune(arguments) == 0
    assert capsys.readouterr().out.splitlines() == table


@pytest.mark.compile
def test_a_kill_before_the_first_checkpoint(shop, source, tmp_path, monkeypatch):
    """The network is cut again, to the same one."""
    whole = shop.train(tmp_path / "whole", fields(source, SLIM))
    half = tmp_path / "half"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cutting, "begin", killed)
        assert main(["main", *shop.command(half, fields(source, SLIM))]) == 130
    assert (half / "spec.json").exists()
    shop.train(half, fields(source, SLIM))
    assert runs.timeless(half) == runs.timeless(whole)


@pytest.mark.compile
def test_what_cannot_be_cut(shop, source, tmp_path, capsys):
    """One line, and nothing is created."""
    unfinished = shutil.copytree(source, tmp_path / "unfinished")
    (unfinished / "DONE").unlink()
    run = tmp_path / "run"
    for changes, told in (
        ({"train.prune.share": 1.0}, "train.prune.share=1.0: must be less than 1"),
        ({"train.prune.share": 0.99}, "train.prune=slimming: share=0.99: would leave"),
        ({"train.start_from": None}, "set train.start_from, a trained run"),
        ({"train.start_from": unfinished}, "unfinished: is not done; train it first"),
        ({"train.start_from": tmp_path / "none"}, "none: holds no config.json, so no"),
        ({"model.width": 0.5}, "model.width=0.5: is 0.25 of the network that is cut"),
        ({"model.unit.order": "original"}, "is 'full_pre' of the network that is cut"),
        ({"train.seeds": "(0, 1)"}, "train.prune cuts one network; start one"),
        (LASSO | {"train.prune.speedup": 90.0}, "speedup=90.0: cannot be reached"),
        (LASSO | {"train.prune.images": 2}, "20 sampled points are too few for"),
        (LASSO | {"train.prune.ratios": (("conv", 1.0),)}, "ratios: 'conv' is no"),
    ):
        both = fields(source, SLIM) | changes
        if "lasso" in changes.values():
            both.pop("train.prune.share")
        assert main(["main", *shop.command(run, both)]) == 2
        assert told in capsys.readouterr().err, changes
        assert not run.exists()
    arguments = ["prune", "--workdir", str(source), "--out", str(run)]
    for more, told in (
        (["--method", "lasso", "--share", "0.2"], "--share: is no option of --method"),
        (["--method", "slimming", "--passes", "0"], "--passes 0: must be at least 1"),
        (["--method", "magic"], "--method"),
        (
            [
                "--method",
                "slimming",
                "--share",
                "0.2",
                "--config.train.prune.share=0.3",
            ],
            "--config.train.prune.share: is said by --share here",
        ),
        (
            ["--method", "slimming", "--config.train.start_from=a"],
            "--config.train.start_from: is said by --workdir here",
        ),
        (
            ["--method", "slimming", "--config.data.name=moving_digits"],
            "takes images of (8, 8, 1), but data.name=moving_digits has",
        ),
        (
            ["--method", "slimming", "--workdir", str(source / "config.json")],
            "config.json: is a file; name the folder of a run",
        ),
    ):
        assert prune([*arguments, *more]) == 2
        assert told in capsys.readouterr().err
        assert not run.exists()


@pytest.mark.compile
def test_a_cut_network_without_its_files_is_refused(shop, source, tmp_path, capsys):
    """Before anything is trained."""
    run = shop.train(tmp_path / "run", fields(source, SLIM))
    spec = (run / "spec.json").read_text()
    for name, told in (
        ("spec.json", "which describes the cut"),
        ("cut.json", "or not"),
    ):
        (run / name).unlink()
        assert main(["main", *shop.command(run, fields(source, SLIM))]) == 4
        assert f"{name}: is gone" in (line := capsys.readouterr().err) and told in line
        (run / "spec.json").write_text(spec)


@pytest.mark.compile
def test_a_cut_network_is_trained_on_as_a_spec(shop, source, tmp_path, capsys):
    """Its config describes another network; the refusal says how."""
    run = shop.train(tmp_path / "run", fields(source, SLIM))
    tuned = {"train.start_from": run, "train.steps": 2}
    assert main(["main", *shop.command(tmp_path / "tuned", TINY | tuned)]) == 2
    spec = run / "spec.json"
    told = f"set model.name=spec and model.file={spec}"
    assert told in capsys.readouterr().err
    others = {k: v for k, v in runs.TINY.items() if not k.startswith("model.")}
    arguments = ["--config.model.name=spec", f"--config.model.file={spec}"]
    arguments += [f"--config.{k}={v}" for k, v in (others | tuned).items()]
    arguments += [f"--config.data.dir={shop.folder / 'tfds'}"]
    workdir = ["--workdir", str(tmp_path / "tuned")]
    assert main(["main", "--config", str(runs.DIGITS), *workdir, *arguments]) == 0
    assert loaded.load(tmp_path / "tuned").spec.firsts == loaded.load(run).spec.firsts


def test_a_seed_names_the_run_to_begin_with():
    config = runs.Workshop(runs.ROOT).config({"train.start_from": "runs/a/seed{seed}"})
    assert config.start_from == "runs/a/seed0"
