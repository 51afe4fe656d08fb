"""Overhead of the training loop over the bare jitted step; the goal is 5 % at most.

    python benchmarks/loop.py [--out results/benchmarks/loop.json] [case ...]

The bare step is one update, augmentation included, repeated on one batch in device
memory. The loop is the one that `resnet_jax.main` runs, from the prepared data set on
disk to rows and checkpoints on disk: sampling, gathering or reading and decoding,
checks of the losses, and a log row and a checkpoint whenever the config says so.
Evaluation is left out of both.

Digits are real; the CIFAR-shaped set is random images, prepared in a temporary folder.
In a turn both run, one after the other; results are medians over turns. All cases take
about ten minutes on two idle cores.
"""

import argparse
import dataclasses
import functools
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ours
import synthetic

from resnet_jax.config.schema import Config
from resnet_jax.data.batch import Batch
from resnet_jax.data.pipeline import TrainBatches
from resnet_jax.runs import directory as run_directory
from resnet_jax.runs.log import Log
from resnet_jax.train import loop
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.experiment import Experiment, prepare
from resnet_jax.train.preemption import Stop
from resnet_jax.train.program import Program, gathered
from resnet_jax.train.progress import Bar
from resnet_jax.train.replicas import Meta, Replica, device_facts
from resnet_jax.train.running import Run
from resnet_jax.train.state import TrainState
from resnet_jax.train.step import StepSpec, make_train_step
from resnet_jax.train.task import make_program, make_task, updates

Seconds = Callable[[TrainState, int], float]  # (initial state, number of updates)


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of an experiment whose loop is compared with its bare step."""

    name: str
    row: str
    fields: tuple[str, ...]
    steps: int  # per turn

    def config(self, directory: str) -> Config:
        """Config of the row, with data sets in the directory."""
        return ours.config_of(self.row, [*self.fields, f"data.dir={directory}"])


CIFAR_SHAPED = (f"data.name={synthetic.NAME}", "train.eval_every=40")
CASES = (
    Case("digits", "digits_preact.py:PreAct-20", (), steps=336),
    Case("cifar", "cifar_resnet.py:ResNet-20", CIFAR_SHAPED, steps=40),
    Case(
        "cifar-streamed",
        "cifar_resnet.py:ResNet-20",
        (*CIFAR_SHAPED, "data.feed=streaming"),
        steps=40,
    ),
)


def bare_step(
    experiment: Experiment, program: Program, data: Any, batch: Batch
) -> Seconds:
    """Time updates on one batch, given as [1 b ...]."""
    step = make_train_step(make_task(experiment), StepSpec())
    step = jax.jit(step, donate_argnums=0)
    placed = jax.tree.map(lambda x: x[0], program.place(batch))
    images = jax.block_until_ready(jax.jit(gathered)(data, placed))

    def seconds(state, steps):
        start = time.perf_counter()
        for _ in range(steps):
            state, _ = step(state, images)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return seconds


def whole_loop(
    experiment: Experiment, program: Program, data: Any, batches: TrainBatches
) -> Seconds:
    """Time the training loop, with log and checkpoints in a new temporary folder."""

    def seconds(state, steps):
        spec = dataclasses.replace(experiment.loop, steps=steps)
        config = experiment.config
        with (
            tempfile.TemporaryDirectory() as folder,
            Log(pathlib.Path(folder) / "metrics.jsonl") as log,
            Checkpoints(pathlib.Path(folder) / "checkpoints") as checkpoints,
            Checkpoints(pathlib.Path(folder) / "best") as best,
            Bar(total=steps) as progress,
        ):
            meta = Meta(wall_s=0.0, best=None, evaluated=0, run="")
            run = Run(
                program=program,
                updates=updates(experiment, program),
                data=data,
                batches=batches,
                evaluate=lambda variables, check: {},
                rate=experiment.optim.schedule_fn(),
                replicas=(Replica(config, {}, log, checkpoints, best, meta),),
                progress=progress,
            )
            start = time.perf_counter()
            fit = functools.partial(loop.fit, finish=lambda state, check: None)
            fit(run, spec, state=state, stop=Stop())
            return time.perf_counter() - start

    return seconds


class Comparison:
    """The bare step and the loop of one case, timed in turns."""

    def __init__(self, case: Case, directory: str):
        experiment = prepare(case.config(directory))
        program = make_program(experiment)
        pipeline, batches = experiment.pipeline, experiment.pipeline.train_batches()
        resident = pipeline.resident
        data = experiment.devices.replicate(resident["train"]) if resident else None
        self._initial = program.init(jnp.uint32(experiment.config.seed))
        self._timed = {
            "bare_ms": bare_step(experiment, program, data, batches(0, 1)),
            "loop_ms": whole_loop(experiment, program, data, batches),
        }
        self.facts = {"batch_size": experiment.config.data.batch_size}
        self.turn(2)  # compiles, and fills the caches of the data

    def turn(self, steps: int) -> dict[str, float]:
        """Milliseconds per update."""
        return {name: self._milliseconds(name, steps) for name in self._timed}

    def _milliseconds(self, name: str, steps: int) -> float:
        state = jax.block_until_ready(jax.tree.map(jnp.copy, self._initial))
        return 1e3 * self._timed[name](state, steps) / steps

    def device_peak(self) -> None:
        """Device memory is not compared here."""


def comparison(name: str, directory: str) -> Comparison:
    """Comparison of the case of this name, on data prepared in the directory."""
    synthetic.prepare(directory)
    return Comparison(next(c for c in CASES if c.name == name), directory)


def measure(case: Case, *, directory: str, steps: int, turns: int) -> dict[str, Any]:
    """Medians over turns, and the times of every turn."""
    work = Comparison(case, directory)
    samples = [work.turn(steps) for _ in range(turns)]
    times = {name: [sample[name] for sample in samples] for name in samples[0]}
    over = [sample["loop_ms"] / sample["bare_ms"] - 1 for sample in samples]
    return {
        "case": case.name,
        **work.facts,
        "steps": steps,
        **{name: statistics.median(each) for name, each in times.items()},
        "over_bare": statistics.median(over),
        "turns": times,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help=", ".join(c.name for c in CASES))
    parser.add_argument("--out", type=pathlib.Path, help="JSON")
    parser.add_argument("--steps", type=int, help="per turn; default: the case's")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        synthetic.prepare(directory)
        print("| case | bare step, ms | loop, ms | over bare |\n|---|---|---|---|")
        for case in CASES:
            if options.cases and case.name not in options.cases:
                continue
            steps = options.steps or case.steps
            row = measure(case, directory=directory, steps=steps, turns=options.turns)
            rows.append(row)
            times = f"{row['bare_ms']:.2f} | {row['loop_ms']:.2f}"
            print(f"| {case.name} | {times} | {row['over_bare']:+.1%} |", flush=True)
    if options.out:
        environment = run_directory.environment(device_facts())
        environment["command"] = ["python", *sys.argv]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        result = {"rows": rows, "environment": environment}
        run_directory.write_json(options.out, result)


if __name__ == "__main__":
    main()
