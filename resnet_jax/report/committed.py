"""A committed table against what the logs give today."""

import itertools
from pathlib import Path

from resnet_jax.errors import ConfigError, DataError
from resnet_jax.report.render import SUFFIXES


def form(path: Path | None) -> str:
    """The format that the name of a table tells, `md` without a table."""
    if path is None:
        return "md"
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"--check {path}: no format is named {path.suffix!r}; "
            f"use one of {', '.join(SUFFIXES)}, or give --format"
        )
    return SUFFIXES[path.suffix]


def check(path: Path, text: str) -> None:
    """DataError naming the first line at which a committed table differs."""
    try:
        committed = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--check {path}: cannot be read: {error}") from error
    given = text.splitlines()
    if committed == given:
        return
    pairs = zip([*committed, None], [*given, None], strict=False)
    number, (old, new) = next(
        (n, (a, b)) for n, (a, b) in enumerate(pairs, 1) if a != b
    )
    raise DataError(
        f"{path}:{number}: the committed line is not what the logs give: "
        f"{_near(old, new)}; make the table again if the logs are right"
    )


def _near(old: str | None, new: str | None) -> str:
    """Both lines around the first character that differs."""
    if old is None or new is None:
        return "the table ends here" if old is None else "the logs give no such line"
    both = zip(old, new, strict=False)
    same = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], both)))
    start = max(0, same - 20)
    return f"has {old[start : start + 60]!r}, should have {new[start : start + 60]!r}"
