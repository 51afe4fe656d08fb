"""The file of a figure, checked ahead of the work; imports no matplotlib."""

from importlib.util import find_spec
from pathlib import Path

from resnet_jax.errors import ConfigError

SUFFIXES = (".png", ".pdf", ".svg")
EXTRA = "figures"  # of setup.cfg, brings matplotlib


def checked(path: Path, *, option: str = "--figure") -> Path:
    """The path; ConfigError for a format that is not drawn, or without matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{option} {path}: no figure format is named {path.suffix!r}; "
            f"use one of {', '.join(SUFFIXES)}"
        )
    if find_spec("matplotlib") is None:
        raise ConfigError(
            f"{option}: matplotlib is not installed; "
            f'pip install "resnet_jax[{EXTRA}]" brings it'
        )
    return path
