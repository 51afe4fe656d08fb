"""Train one row of an experiment, or go on where it stopped.

  python -m resnet_jax.main --config experiments/cifar_preact.py
  python -m resnet_jax.main --config experiments/cifar_preact.py:PreAct-1001
  python -m resnet_jax.main --config FILE --config.optim.learning_rate=0.05
  python -m resnet_jax.main --config FILE --config.data.dir=~/tensorflow_datasets

  --config FILE[:ROW]      an experiment file, which is a program that will be run
  --config.FIELD=VALUE     changes a field; resnet_jax/config.py lists and explains all
  --workdir DIR            default runs/<experiment>/<row>/seed<k>
  --allow_data_change      go on although data or seed differ from the run in DIR
  --debug                  show tracebacks of errors that a user can cause

In DIR: config.json, env.json, metrics.jsonl, checkpoints/, best/, result.json, DONE.
The same command resumes an interrupted run; SIGTERM saves and ends with 143.
Exit codes: 0 done, 1 bug, 2 config or usage, 3 data, 4 checkpoint, 5 diverged,
6 storage, 143 preempted and saved.
"""

import functools
import os
import pathlib
import re
import runpy
import sys
import warnings
from collections.abc import Callable
from typing import Any

from absl import flags
from ml_collections import config_flags

from resnet_jax.config import unknown, validated
from resnet_jax.errors import ConfigError, UserError
from resnet_jax.progress import Bar

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def main(argv: list[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    return guarded(lambda: _train(argv), debug="--debug" in argv)


def guarded(command: Callable[[], None], *, debug: bool) -> int:
    """Runs a command; an error that a user can cause is a line, not a traceback."""
    try:
        command()
    except UserError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            print(f"error[{error.kind}] {line}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command resumes", file=sys.stderr)
        return 130
    return 0


def _train(argv: list[str]) -> None:
    chosen = parse(argv)
    name, row = experiment_and_row(chosen["config"].config_filename)
    config = validated(chosen.config.to_dict())
    folder = chosen.workdir or f"runs/{name}/{row}/seed{config.seed}"
    prepare_jax()
    from resnet_jax import experiment  # imports jax, and everything else

    folder = pathlib.Path(folder).expanduser()
    result = experiment.run(
        config, folder, bar=Bar, allow_data_change=chosen.allow_data_change
    )
    print(final_line(result, folder))


def parse(argv: list[str]) -> flags.FlagValues:
    """The flags of a command line; ConfigError naming every field that does not exist.

    They are values of this call: absl's own are global, and remember the call before.
    """
    if not any(re.match(r"--?config(=|$)", arg) for arg in argv):
        raise ConfigError(
            "--config: missing; name an experiment file, "
            "e.g. --config experiments/digits_preact.py"
        )
    check_fields(argv)
    chosen = define_flags(argv)
    try:
        left = chosen(argv)[1:]
    except UserError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(first) from error
    if left:
        raise ConfigError(f"{left[0]}: not understood; fields are --config.x.y=value")
    return chosen


def define_flags(argv: list[str]) -> flags.FlagValues:
    chosen = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "FILE[:ROW]", flag_values=chosen, sys_argv=argv
    )
    texts = functools.partial(flags.DEFINE_string, flag_values=chosen)
    switch = functools.partial(flags.DEFINE_bool, flag_values=chosen)
    texts("workdir", None, "where the run is kept")
    switch("allow_data_change", False, "go on although the data differ")
    switch("debug", False, "show tracebacks")
    return chosen


def check_fields(argv: list[str]) -> None:
    """All misspelt --config.x.y at once; the flags parser would stop at the first."""
    pairs = zip(argv, [*argv[1:], ""], strict=True)
    found = [re.fullmatch(r"--?config(?:=(.*))?", arg) for arg in argv]
    after = [m.group(1) or nxt for m, (_, nxt) in zip(found, pairs, strict=True) if m]
    config = load(after[-1])
    paths = [re.match(r"--(?:no)?config\.([\w.]+)", arg) for arg in argv]
    problems = [p for m in paths if m and (p := unknown(config, m.group(1)))]
    if problems:
        raise ConfigError("\n".join(problems))


def load(reference: str) -> Any:
    """The ConfigDict of FILE or FILE:ROW."""
    path, _, row = reference.partition(":")
    if not pathlib.Path(path).is_file():
        raise ConfigError(f"--config={path}: no such file")
    try:
        module = runpy.run_path(path)
    except SyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from error
    if "get_config" not in module:
        raise ConfigError(f"--config={path}: defines no get_config(row)")
    return module["get_config"](row) if row else module["get_config"]()


def experiment_and_row(reference: str) -> tuple[str, str]:
    """Name of the file and of the row, as the default workdir uses them."""
    path, _, row = reference.partition(":")
    module = runpy.run_path(path)
    row = row or next(iter(module.get("ROWS", {"default": None})))
    for name in (stem := pathlib.Path(path).stem, row):
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r}: names of experiments and rows are up to 64 letters, "
                "digits, '.', '_', '+', '-'"
            )
    return stem, row


def prepare_jax() -> None:
    """Settings of the process, before jax meets a device."""
    import jax

    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = pathlib.Path(cache).expanduser() / "resnet_jax" / "xla"
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if "JAX_COORDINATOR_ADDRESS" in os.environ:
        jax.distributed.initialize()
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
