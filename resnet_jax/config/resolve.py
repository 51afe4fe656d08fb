"""Validation of configs.

`configured` is called by experiment files; `changed` applies a command line;
`validated` makes frozen data or lists all errors. No other module sees a ConfigDict.
"""

import functools
import re
from collections.abc import Mapping, Sequence

import ml_collections
import pydantic

from resnet_jax.config.merge import Merge, nested
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.paths import Tree, Value, did_you_mean


def configured(
    base: Mapping[str, object], rows: Mapping[str, Mapping[str, object]], row: str
) -> ml_collections.ConfigDict:
    """Defaults with the changes of an experiment and of one of its rows.

    `base` and each row map dotted paths to values. ConfigError with all problems.
    """
    if row not in rows:
        raise ConfigError(
            f"row {row!r}: this experiment has {', '.join(rows)}"
            f"{did_you_mean(row, list(rows))}"
        )
    tree, problems = changed(Config().to_dict(), base)
    tree, more = changed(tree, rows[row])
    if problems or more:
        raise ConfigError("\n".join(problems + more))
    # Types are checked by `validated`.
    return ml_collections.ConfigDict(tree, type_safe=False)


def changed(tree: Tree, changes: Mapping[str, object]) -> tuple[Tree, list[str]]:
    """Tree after one layer of changes, and error messages."""
    merge = Merge()
    return merge.section(Config, tree, nested(changes)), merge.problems


def validated(tree: Mapping[str, object], problems: Sequence[str] = ()) -> Config:
    """Config from nested plain values; ConfigError with a line per problem."""
    problems = list(problems)
    try:
        config = _adapter().validate_python(tree)
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(problems + _messages(error, tree))) from None
    problems += _contradictions(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _contradictions(config: Config) -> list[str]:
    """Error messages for fields that contradict each other."""
    found = []
    epochs, iterations = config.train.epochs, config.train.iterations
    if epochs is None and iterations is None:
        found.append("train.epochs=None: set it, or train.iterations")
    if epochs is not None and iterations is not None:
        found.append(
            f"train.epochs={epochs}: train.iterations={iterations} is set as well; "
            "make one of them None"
        )
    seeds = config.train.seeds
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        found.append(f"train.seeds={seeds}: names {twice[0]} twice")
    start, cut = config.train.start_from, config.train.prune
    if start and len(seeds) > 1 and "{seed}" in start:
        found.append(f"train.start_from={start}: names a run for each seed; start one")
    if cut and not start:
        found.append(f"train.prune={cut.name}: set train.start_from, a trained run")
    if cut and len(seeds) > 1:
        found.append(f"train.seeds={seeds}: train.prune cuts one network; start one")
    return found


@functools.cache
def _adapter() -> pydantic.TypeAdapter:
    return pydantic.TypeAdapter(Config)


def _messages(error: pydantic.ValidationError, tree: Mapping[str, object]) -> list[str]:
    """One line per field: `model.depth=0: must be greater than or equal to 1`."""
    rules: dict[str, list[str]] = {}
    for problem in error.errors():
        path, value = _field(problem["loc"], tree)
        rule = re.sub(
            r"^(Input|String) should|^Value error, must", "must", problem["msg"]
        )
        rule = "must be True or False" if "boolean" in rule else rule
        rules.setdefault(f"{path}={value!r}", []).append(rule)
    return [f"{field}: {' or '.join(rule)}" for field, rule in rules.items()]


def _field(loc: tuple[int | str, ...], tree: Value) -> tuple[str, Value]:
    """Path and value of a field, without words of members and indices of tuples."""
    names: list[str] = []
    for name in loc:
        if not isinstance(tree, Mapping):
            break
        if name in tree:
            names.append(str(name))
            tree = tree[name]
        elif name != tree.get("name"):
            break
    return ".".join(names or map(str, loc)), tree
