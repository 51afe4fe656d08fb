"""Train one row of an experiment, or go on where it stopped.

  python -m resnet_jax.main --config experiments/cifar_preact.py
  python -m resnet_jax.main --config experiments/cifar_preact.py:PreAct-1001
  python -m resnet_jax.main --config FILE --config.optim.learning_rate=0.05
  python -m resnet_jax.main --config FILE --config.data.dir=~/tensorflow_datasets

  --config FILE[:ROW]      an experiment file, which is a program that will be run
  --config.FIELD=VALUE     changes a field; resnet_jax/config.py lists and explains all
  --config.train.seeds=0,1,2   trains these seeds in one program, each as a run
  --workdir DIR            default runs/<experiment>/<row>/seed<k>; of several seeds
                           the folder of their seed<k>
  --profile                writes a trace of a few steps, once compiled, to DIR/profile
  --allow_data_change      go on although data or seed differ from the run in DIR
  --debug                  show tracebacks of errors that a user can cause

In DIR: config.json, env.json, metrics.jsonl, checkpoints/, best/, result.json, DONE.
The same command resumes an interrupted run; SIGTERM saves and ends with 143.
Several hosts: start it on each with JAX_COORDINATOR_ADDRESS=HOST:PORT and, where no
cluster tells them, JAX_NUM_PROCESSES and JAX_PROCESS_ID; DIR is shared by all.
Exit codes: 0 done, 1 bug, 2 config or usage, 3 data, 4 checkpoint, 5 diverged,
6 storage, 143 preempted and saved.
"""

import argparse
import os
import pathlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from resnet_jax import cli
from resnet_jax.config.schema import Config
from resnet_jax.train.progress import Bar


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    return cli.guarded(lambda: _train(argv[1:]), debug="--debug" in argv)


def _train(argv: Sequence[str]) -> None:
    chosen, fields = parse(argv)
    config = cli.changed(chosen.config, fields)
    folder = chosen.workdir or default_folder(chosen.config, config)
    prepare_jax()
    from resnet_jax.train import run as experiment  # imports jax, and everything else
    from resnet_jax.train.profiler import Trace

    folder = pathlib.Path(folder).expanduser()
    trace = Trace(folder / "profile") if chosen.profile else None
    results = experiment.run_all(
        config,
        folder,
        bar=Bar,
        allow_data_change=chosen.allow_data_change,
        trace=trace,
    )
    if trace and not trace.complete:
        print(trace.told(), file=sys.stderr)
    for place, result in results.items():
        print(final_line(result, place))


def default_folder(reference: str, config: Config) -> str:
    """That of the run; that of the row, where it has several seeds."""
    folder = "/".join(("runs", *cli.experiment_and_row(reference)))
    return folder if config.train.seeds else f"{folder}/seed{config.seed}"


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v."""
    parser = cli.Parser("resnet_jax.main")
    parser.add_argument("--config", required=True)
    parser.add_argument("--workdir")
    for option in ("profile", "allow_data_change", "debug"):
        parser.add_argument(f"--{option}", action="store_true")
    return parser.parse_known_args(argv)


def prepare_jax() -> None:
    """Settings of the process, before jax meets a device."""
    import jax

    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = pathlib.Path(cache).expanduser() / "resnet_jax" / "xla"
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        named = {"num_processes": "JAX_NUM_PROCESSES", "process_id": "JAX_PROCESS_ID"}
        given = {k: int(os.environ[v]) for k, v in named.items() if v in os.environ}
        jax.distributed.initialize(**given)
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation")


def final_line(result: dict[str, Any], folder: pathlib.Path) -> str:
    """One line: the test error, and where everything lies."""
    shown = f"test error {result['test_top1_err']:.2f} %"
    if result["test_top1_err_precise"] is not None:
        shown += f" (precise statistics {result['test_top1_err_precise']:.2f} %)"
    if best := result["best_on_val"]:
        shown += f", {best['test_top1_err']:.2f} % at the best validation step"
    return (
        f"done: {shown} on n={result['n']} after {result['step']} steps in "
        f"{result['wall_s']:.0f} s; logs {folder}/metrics.jsonl, checkpoint "
        f"{folder}/checkpoints/{result['step']}"
    )


if __name__ == "__main__":
    sys.exit(main())
