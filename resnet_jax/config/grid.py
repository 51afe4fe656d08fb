"""Grid: the rows of an experiment file under every combination of values of fields."""

import dataclasses
import itertools
import re
from collections.abc import Sequence

from resnet_jax.config.experiment_file import ExperimentFile, Variant, folder_name
from resnet_jax.errors import ConfigError

OPTION = re.compile(r"([\w.]+)=(.+)", re.DOTALL)
# A comma outside brackets
COMMA = re.compile(r",(?![^(\[{]*[)\]}])")


def with_grid(experiment: ExperimentFile, options: Sequence[str]) -> ExperimentFile:
    """Replace the rows of an experiment by one for every combination of values.

    An option is `FIELD=VALUE,VALUE,...`. The rows are named `<row>+<field>=<value>`,
    with the last word of the field where that tells the fields apart. Without options
    the rows are those of the file.
    """
    if not options:
        return experiment
    values = dict(map(_parsed, options))
    if len(values) < len(options):
        raise ConfigError("--grid: names a field twice; list its values in one option")
    names = [path.rpartition(".")[2] for path in values]
    if len(set(names)) < len(names):
        names = list(values)
    rows, grid = {}, {}
    for row, chosen in itertools.product(
        experiment.rows, itertools.product(*values.values())
    ):
        added = "".join(map(_suffix, names, chosen))
        name = folder_name(f"{row}{added}")
        fields = map("--config.{}={}".format, values, chosen)
        if name in grid:
            raise ConfigError(
                f"--grid: two rows would be named {name!r}; run them apart"
            )
        grid[name] = Variant(row, tuple(fields))
        rows[name] = {**experiment.rows[row], **dict(zip(values, chosen, strict=True))}
    return dataclasses.replace(experiment, rows=rows, grid=grid)


def _parsed(option: str) -> tuple[str, list[str]]:
    """Field and values of `FIELD=VALUE,VALUE,...`."""
    match = OPTION.fullmatch(option)
    values = [v.strip() for v in COMMA.split(match[2])] if match else []
    if match is None or not all(values):
        raise ConfigError(
            f"--grid {option}: must be FIELD=VALUE,VALUE,..., for example"
            " optim.learning_rate=0.05,0.1,0.2"
        )
    return match[1], values


def _suffix(name: str, value: str) -> str:
    """Part of the name of a row, which is also that of a folder."""
    text = re.sub(r"[^A-Za-z0-9._+-]+", "_", value).strip("_")
    return f"+{name}={text}"
