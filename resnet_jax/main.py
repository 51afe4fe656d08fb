"""Train one row of an experiment, or resume it.

  python -m resnet_jax.main --config experiments/cifar_preact.py
  python -m resnet_jax.main --config experiments/cifar_preact.py:PreAct-1001
  python -m resnet_jax.main --config FILE --config.optim.learning_rate=0.05
  python -m resnet_jax.main --config FILE --config.data.dir=~/tensorflow_datasets

  --config FILE[:ROW]      an experiment file, which is a program that will be run
  --config.FIELD=VALUE     changes a field; --help_fields lists and explains them
  --config.train.seeds=0,1,2   trains these seeds in one program, each as a run
  --workdir DIR            default runs/<experiment>/<row>/seed<k>; for several seeds
                           the parent of their folders seed<k>
  --profile                writes a trace of a few compiled steps to DIR/profile
  --restart                begin at step 0; the files of an earlier run are kept aside
  --allow_data_change      resume although data or seed differ from the run in DIR
  --help_fields [FIELD]    prints all fields, or those of a part (model.unit)
  --debug                  show tracebacks of errors that a user can cause

In DIR: config.json, env.json, metrics.jsonl, checkpoints/, best/, result.json, DONE.
The same command resumes an interrupted run. SIGTERM saves and ends with 143, Ctrl-C
with 130; a second one ends at once.
Several hosts: start it on each with JAX_COORDINATOR_ADDRESS=HOST:PORT and, unless the
cluster sets them, JAX_NUM_PROCESSES and JAX_PROCESS_ID; all share DIR.
Exit codes: 0 done, 1 bug, 2 config or usage, 3 data, 4 checkpoint, 5 diverged,
6 storage, 130 interrupted, 143 preempted and saved.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from resnet_jax import cli
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.config.schema import Config


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_train, argv, text=__doc__)


def _train(arguments: Sequence[str]) -> None:
    options, fields = parse(arguments)
    if options.help_fields is not None:
        if fields:
            raise ConfigError(f"{fields[0]}: not understood beside --help_fields")
        from resnet_jax.config import reference

        print(reference.text(options.help_fields))
        return
    experiment, row, config = cli.chosen(options.config, fields)
    usual = pathlib.Path(default_folder(experiment.name, row, config))
    folder = options.workdir or usual
    cli.prepare_jax()
    from resnet_jax.train import run  # imports jax
    from resnet_jax.train.profiler import Trace
    from resnet_jax.train.progress import Bar

    trace = Trace(folder / "profile") if options.profile else None
    results = run.run_all(
        config,
        folder,
        bar=Bar,
        allow_data_change=options.allow_data_change,
        restart=options.restart,
        trace=trace,
    )
    if trace and not trace.complete:
        print(trace.summary(), file=sys.stderr)
    for place, result in results.items():
        print(run.final_line(result, place))


def default_folder(experiment: str, row: str, config: "Config") -> str:
    """The folder of a run, or of the row if the config has several seeds."""
    folder = f"runs/{experiment}/{row}"
    return folder if config.train.seeds else f"{folder}/seed{config.seed}"


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the --config.x.y=v."""
    parser = cli.Parser("resnet_jax.main")
    parser.add_argument("--help_fields", nargs="?", const="")
    parser.add_argument("--config")
    parser.add_argument("--workdir", type=cli.folder)
    for option in ("profile", "restart", "allow_data_change"):
        parser.add_argument(f"--{option}", action="store_true")
    options, fields = parser.parse_known_args(arguments)
    if options.config is None and options.help_fields is None:
        parser.error("the following arguments are required: --config")
    return options, fields


if __name__ == "__main__":
    cli.leave(main())
