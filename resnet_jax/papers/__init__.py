"""Published numbers, each with its table, statistic, protocol and certainty."""

import difflib

from resnet_jax.errors import ConfigError
from resnet_jax.papers import (
    gruening2021,
    han2020,
    hara2018,
    he2015,
    he2016a,
    he2016b,
    huang2017,
    plain_nets,
    rastegari2016,
    shen2016,
    successors,
    wide,
)
from resnet_jax.papers.value import CERTAINTY, PAPERS, Slope, Value

__all__ = [
    "CERTAINTY", "PAPERS", "SLOPES", "TABLES", "VALUES", "Slope", "Value", "slopes",
    "value",
]  # fmt: skip

SLOPES = he2015.SLOPES
TABLES = (
    he2015, he2016a, he2016b, successors, wide, huang2017, plain_nets, han2020,
    rastegari2016, gruening2021, hara2018, shen2016,
)  # fmt: skip
VALUES = {cell.key: cell for table in TABLES for cell in table.VALUES}


def value(key: str) -> Value:
    """Published value of a key such as `he2016a/T6/ResNet-110`."""
    if key in VALUES:
        return VALUES[key]
    near = difflib.get_close_matches(key, VALUES, n=3, cutoff=0.4)
    hint = " or ".join(repr(name) for name in near) or f"one of {len(VALUES)} keys"
    raise ConfigError(f"PAPER={key!r}: no such published value; did you mean {hint}?")


def slopes(key: str) -> tuple[float, ...]:
    """Learned slopes of a published net, layer by layer; () if not published."""
    return he2015.SLOPES_OF.get(key, ())
