"""Passes of pruning: a trained network is cut and trained again, some times over."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from resnet_jax.config.overrides import overrides
from resnet_jax.config.resolve import changed, validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.paths import Tree
from resnet_jax.runs.directory import CUT, read_json
from resnet_jax.runs.result import Result
from resnet_jax.train import run, stored
from resnet_jax.train.running import Progress


class Pass(NamedTuple):
    """What a pass has cut, and how its network scores then; None before training."""

    folder: pathlib.Path
    cut: Tree
    result: Result | None


def configs(
    source: pathlib.Path,
    out: pathlib.Path,
    method: Mapping[str, object],
    *,
    passes: int = 1,
    fields: Sequence[str] = (),
) -> dict[pathlib.Path, Config]:
    """Folder and config of each pass: those of a run, with other fields.

    Each begins with the one before. `optim.scale_l1` is 0 in the last one, as nothing
    is cut behind it. ConfigError for fields that do not exist or do not fit.
    """
    if passes < 1:
        raise ConfigError(f"--passes {passes}: must be at least 1")
    tree = stored.config_in(source).located(source)
    found, before = {}, source.absolute()  # from any folder the same command
    for number in range(1, passes + 1):
        folder = out / f"pass{number}"
        own = {"train.start_from": str(before), "train.prune": dict(method)}
        own |= {"train.steps": None}
        own |= {"optim.scale_l1": 0.0} if number == passes else {}
        new, problems = changed(tree, own)
        new, more = changed(new, overrides(tuple(fields)))
        found[folder] = validated(new, problems + more)
        before = folder.absolute()
    return found


def carry_out(
    found: Mapping[pathlib.Path, Config],
    *,
    bar: Callable[..., AbstractContextManager[Progress]],
    cut_only: bool = False,
) -> Iterator[Pass]:
    """Cut and train, pass after pass; those that are done are not done again.

    `cut_only`: the first pass is cut, scored and saved, and nothing is trained.
    """
    for folder, config in found.items():
        results = run.run_all(config, folder, bar=bar, cut_only=cut_only)
        yield Pass(folder, read_json(folder / CUT) or {}, results.get(folder))
        if cut_only:
            return
