"""Makes old_run/: a run stopped half way, and what it comes to when it goes on.

    git worktree add CHECKOUT 6224c41
    python tests/golden/make_old_run.py --checkout CHECKOUT

Made by the code of commit 6224c41 and by no other: a later one must go on in a folder
that it did not write, and whose config names fields as that commit did. The folder is
that of the run (config.json, env.json, metrics.jsonl, slopes.json, result.json, DONE,
checkpoints/20), ended by train.steps, which is no part of what a run computes. The same
command without it goes on. In it lies as well

    expected.json   what an uninterrupted run logs after that step and ends with:
      command       arguments of resnet_jax.main; "{workdir}" stands for the folder
      environment   of its process; TFDS_DATA_DIR names any folder with the digits
      rows          of metrics.jsonl, without times
      leaves        of the last checkpoint, by path: dtype, shape, SHA-256 of its bytes,
                    and for numbers near to these layout.digest: sum, norm, a product
      made          versions and processor: elsewhere the bits differ

Before it is kept, a copy is resumed by the same code and must end bit for bit as told.
"""

import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import jax
import layout
import make_frozen
import numpy as np
import orbax.checkpoint as ocp

COMMIT = "6224c4131c14e03a5cacbfc746b7ccd592f010d1"
FOLDER = pathlib.Path(__file__).with_name("old_run")
STOP, END = 20, 40
FILES = (
    "config.json", "env.json", "metrics.jsonl", "slopes.json", "result.json", "DONE",
    f"checkpoints/{STOP}",
)  # fmt: skip
EXPERIMENT = "experiments/digits_preact.py"
FIELDS = {
    # two small units a stage, the second one stacked
    "model.depth": 8,
    "model.width": 0.25,
    "model.unit.branch": "single",
    "model.act": "prelu",
    "model.unit.survival": 0.9,
    "data.batch_size": 64,
    "optim.nesterov": "nesterov",
    "optim.schedule": "steps",
    "optim.boundaries": (0.5, 0.75),  # not before the stop
    "optim.factor": 0.2,
    "train.epochs": None,
    "train.iterations": END,
    "train.eval_every": 10,
    "train.checkpoint_every": STOP,
    "train.dtype": "float32",
    "train.ema": 0.5,
    "train.max_skips": 1,
}
COMMAND = (
    *("--config", EXPERIMENT, "--workdir", "{workdir}"),
    *(f"--config.{path}={value}" for path, value in FIELDS.items()),
)
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": ""}
TIMES = ("_s", "temporary_bytes")  # ends of names whose values differ from run to run


def train(checkout: pathlib.Path, place: pathlib.Path, name: str, *more: str) -> None:
    """A run of the checkout in PLACE/name, from within PLACE, which env.json hides."""
    command = [word.format(workdir=name) for word in COMMAND]
    subprocess.run(
        [sys.executable, "-m", "resnet_jax.main", *command, *more],
        cwd=place,
        env=os.environ
        | ENVIRONMENT
        | {
            "PYTHONPATH": str(checkout),
            "TFDS_DATA_DIR": str(place / "data"),
            "JAX_ENABLE_COMPILATION_CACHE": "false",
        },
        check=True,
    )


def rows(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a log after the stop, without times."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in row.items() if not name.endswith(TIMES)}
        for row in map(json.loads, lines)
        if row["step"] > STOP
    ]


def leaves(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Digest of every leaf of a checkpoint, read without the package."""
    with ocp.PyTreeCheckpointer() as reader:
        tree = reader.metadata(path / "state").item_metadata.tree
        asked = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        tree = reader.restore(path / "state", restore_args=asked)
    found = {}
    for key, leaf in jax.tree_util.tree_leaves_with_path(tree):
        name, array = jax.tree_util.keystr(key, simple=True, separator="/"), leaf
        found[name] = {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
            "digest": layout.digest(name, array.astype(np.float64)).tolist(),
        }
    return found


def outcome(workdir: pathlib.Path) -> dict[str, Any]:
    """The result of a run."""
    final = workdir / "checkpoints" / str(END)
    return {"rows": rows(workdir), "leaves": leaves(final)}


def written(tree: dict[str, Any]) -> str:
    """JSON with a line a row and a leaf, so that what changes is a changed line."""
    parts = []
    for name, part in tree.items():
        if name == "leaves":
            lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in part.items()]
            text = "{\n  " + ",\n  ".join(lines) + "\n }"
        elif isinstance(part, list):
            text = "[\n  " + ",\n  ".join(map(json.dumps, part)) + "\n ]"
        else:
            text = json.dumps(part)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def check_sanitized(folder: pathlib.Path, *secrets: str) -> None:
    """No file tells where it was made; in numbers a short word may come by chance."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for secret in secrets:
            word = rb"(?<!\w)" + re.escape(secret.encode()) + rb"(?!\w)"
            found = re.search(word, data) and (len(secret) > 4 or data.isascii())
            assert not found, f"{path} holds {secret}"


def check_commit(checkout: pathlib.Path) -> None:
    """Refuses a checkout of another commit, or one in which files were changed."""
    git = ["git", "-C", str(checkout)]
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True)
    changed = subprocess.check_output(
        [*git, "status", "--porcelain", "-uno"], text=True
    )
    if commit.strip() != COMMIT or changed:
        raise SystemExit(f"{checkout}: must be a clean checkout of {COMMIT[:7]}")


def prune(folder: pathlib.Path) -> None:
    """Leaves what git would keep, without what tells the process and the place."""
    (folder / ".lock").unlink()
    for path in folder.rglob("commit_success.txt"):
        path.write_text(path.read_text().replace(f"{folder.parent}/", ""))
    for path in sorted(folder.rglob("*"), reverse=True):  # from the inside out
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def make(checkout: pathlib.Path, place: pathlib.Path) -> pathlib.Path:
    """The folder in PLACE that is to be kept."""
    (place / "experiments").mkdir()
    shutil.copy(checkout / EXPERIMENT, place / EXPERIMENT)
    train(checkout, place, "old_run", f"--config.train.steps={STOP}")
    environment = json.loads((place / "old_run" / "env.json").read_text())
    assert environment["commit"] == COMMIT, environment["commit"]
    for kept in FILES:
        assert (place / "old_run" / kept).exists(), kept
    prune(place / "old_run")
    check_sanitized(place / "old_run", str(place), str(checkout), os.uname().nodename)
    train(checkout, place, "whole")
    expected = outcome(place / "whole")
    shutil.copytree(place / "old_run", place / "resumed")
    train(checkout, place, "resumed")
    assert outcome(place / "resumed") == expected, "resumed and whole runs differ"
    told = {"command": COMMAND, "environment": ENVIRONMENT, "stop": STOP, "end": END}
    told |= {"made": make_frozen.machine() | {"xla_flags": ""}}
    (place / "old_run" / "expected.json").write_text(written(told | expected))
    return place / "old_run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER)
    chosen = parser.parse_args()
    check_commit(checkout := chosen.checkout.resolve())
    with tempfile.TemporaryDirectory() as place:
        made = make(checkout, pathlib.Path(place).resolve())
        shutil.rmtree(chosen.out, ignore_errors=True)
        shutil.copytree(made, chosen.out)


if __name__ == "__main__":
    main()
