"""Check of a committed table against the logs."""

import itertools
from pathlib import Path

from resnet_jax.errors import ConfigError, DataError
from resnet_jax.report.render import SUFFIXES


def form(path: Path | None) -> str:
    """Format of a table by its suffix; `md` without a table."""
    if path is None:
        return "md"
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"--check {path}: no format is named {path.suffix!r}; "
            f"use one of {', '.join(SUFFIXES)}, or give --format"
        )
    return SUFFIXES[path.suffix]


def check(path: Path, text: str) -> None:
    """DataError naming the first line of a committed table that differs."""
    try:
        committed = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--check {path}: cannot be read: {error}") from error
    given = text.splitlines()
    if committed == given:
        return
    pairs = enumerate(itertools.zip_longest(committed, given), 1)
    number, (old, new) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    raise DataError(
        f"{path}:{number}: the committed line is not what the logs give: "
        f"{_near(old, new)}; make the table again if the logs are right"
    )


def _near(old: str | None, new: str | None) -> str:
    """Quote both lines from shortly before the first different character."""
    if old is None or new is None:
        return "the table ends here" if old is None else "the logs give no such line"
    pairs = enumerate(itertools.zip_longest(old, new))
    start = max(0, next(i for i, (a, b) in pairs if a != b) - 20)
    return f"has {old[start : start + 60]!r}, should have {new[start : start + 60]!r}"
