"""What the training loop costs over the bare jitted step; the goal is 5 % at most.

    python benchmarks/loop.py [--out results/benchmarks/loop.json] [case ...]

The bare step is one update, augmentation included, again and again on one batch that
lies on the device. The loop is the one that `resnet_jax.main` runs, from the prepared
data set on disk to rows and checkpoints on disk: sample order, gathering or reading and
decoding, looks at the losses, a log row and a checkpoint whenever the config says so.
Evaluation is left out of both, being work of its own.

Digits are real; the CIFAR-shaped set is random images, prepared in a temporary folder.
A turn is one run of each, one after the other; medians over turns. On two idle cores
about ten minutes.
"""

import argparse
import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import shaped

from resnet_jax import cli
from resnet_jax.runs import directory as workdir
from resnet_jax.runs.log import Log
from resnet_jax.train import loop
from resnet_jax.train import program as parallel
from resnet_jax.train import run as experiment
from resnet_jax.train.checkpoint import Checkpoints
from resnet_jax.train.progress import Bar
from resnet_jax.train.replicas import Lane
from resnet_jax.train.step import StepSpec, make_train_step

FOLDER = pathlib.Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    row: str
    fields: tuple[str, ...]
    steps: int  # in a turn

    def config(self, directory):
        fields = (*self.fields, f"data.dir={directory}")
        reference = f"{FOLDER}/experiments/{self.row}"
        return cli.changed(reference, [f"--config.{field}" for field in fields])


SHAPED = (f"data.name={shaped.NAME}", "train.eval_every=40")
CASES = (
    Case("digits", "digits_preact.py:PreAct-20", (), steps=336),
    Case("cifar", "cifar_resnet.py:ResNet-20", SHAPED, steps=40),
    Case(
        "cifar-streamed",
        "cifar_resnet.py:ResNet-20",
        (*SHAPED, "data.feed=streaming"),
        steps=40,
    ),
)


def bare(opening, program, data, feed):
    """seconds(state, steps) of updates on one batch."""
    step = make_train_step(experiment.make_task(opening), StepSpec())
    step = jax.jit(step, donate_argnums=0)
    one = jax.tree.map(lambda x: x[0], program.place(feed))
    batch = jax.block_until_ready(jax.jit(parallel.gathered)(data, one))

    def seconds(state, steps):
        start = time.perf_counter()
        for _ in range(steps):
            state, _ = step(state, batch)
        jax.block_until_ready(state)
        return time.perf_counter() - start

    return seconds


def whole(opening, program, data, feeds):
    """seconds(state, steps) of updates by the loop, in a run folder of their own."""

    def seconds(state, steps):
        spec = dataclasses.replace(opening.loop, steps=steps)
        with (
            tempfile.TemporaryDirectory() as folder,
            Log(pathlib.Path(folder) / "metrics.jsonl") as log,
            Checkpoints(pathlib.Path(folder) / "checkpoints") as saved,
            Checkpoints(pathlib.Path(folder) / "best") as best,
            Bar(total=steps) as progress,
        ):
            run = loop.Run(
                program=program,
                updates=experiment.updates(opening, program),
                data=data,
                feeds=feeds,
                evaluate=lambda variables: {},
                rate=opening.optim.schedule_fn(),
                lanes=(Lane(opening.config.seed, log, saved, best),),
                progress=progress,
            )
            start = time.perf_counter()
            loop.fit(run, spec, state=state)
            return time.perf_counter() - start

    return seconds


class Comparison:
    """The bare step and the loop of one case, in turns."""

    def __init__(self, case: Case, directory: str):
        opening = experiment.prepare(case.config(directory))
        program, devices = experiment.make_program(opening), opening.devices
        resident, feeds = opening.feeds.resident, opening.feeds.train_batches()
        data = devices.copied(resident["train"]) if resident else None
        self._first = program.init(jnp.uint32(opening.config.seed))
        self._ways = {
            "bare_ms": bare(opening, program, data, feeds(0, 1)),
            "loop_ms": whole(opening, program, data, feeds),
        }
        self.facts = {"batch_size": opening.config.data.batch_size}
        self.turn(2)  # compiles, and fills the caches of the data

    def turn(self, steps: int) -> dict[str, float]:
        """Milliseconds an update."""
        return {way: self._milliseconds(way, steps) for way in self._ways}

    def _milliseconds(self, way, steps):
        state = jax.block_until_ready(jax.tree.map(jnp.copy, self._first))
        return 1e3 * self._ways[way](state, steps) / steps

    def device_peak(self) -> None:
        """Not what is compared here."""


def opened(name: str, directory: str) -> Comparison:
    """The comparison of a case by its name, on data prepared in the directory."""
    shaped.prepare(directory)
    return Comparison(next(c for c in CASES if c.name == name), directory)


def measure(case, *, directory, steps, turns):
    """The medians over turns, and every turn."""
    work = Comparison(case, directory)
    taken = [work.turn(steps) for _ in range(turns)]
    times = {way: [turn[way] for turn in taken] for way in taken[0]}
    over = [turn["loop_ms"] / turn["bare_ms"] - 1 for turn in taken]
    return {
        "case": case.name,
        **work.facts,
        "steps": steps,
        **{way: statistics.median(each) for way, each in times.items()},
        "over_bare": statistics.median(over),
        "turns": times,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", help=", ".join(c.name for c in CASES))
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--steps", type=int, help="in a turn, in place of the case's")
    parser.add_argument("--turns", type=int, default=7)
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        shaped.prepare(directory)
        print("| case | bare step, ms | loop, ms | over bare |\n|---|---|---|---|")
        for case in CASES:
            if chosen.cases and case.name not in chosen.cases:
                continue
            steps = chosen.steps or case.steps
            row = measure(case, directory=directory, steps=steps, turns=chosen.turns)
            rows.append(row)
            shown = f"{row['bare_ms']:.2f} | {row['loop_ms']:.2f}"
            print(f"| {case.name} | {shown} | {row['over_bare']:+.1%} |", flush=True)
    if chosen.out:
        here = workdir.environment() | {"command": ["python", *sys.argv]}
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        workdir.write_json(chosen.out, {"rows": rows, "environment": here})


if __name__ == "__main__":
    main()
