"""A statement of a paper about a net or its training: value, place, certainty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resnet_jax.papers.value import Certainty

# Beyond the certainty of a table's numbers: the paper does not say, or sources differ.
Sureness = Certainty | Literal["silent", "unsure"]
SETTLED = ("text", "code", "derived")
Unit = Literal["", "epochs", "G"]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What a paper says of one quantity, and where.

    `value` is None where the paper is silent, and a sentence where it states a rule
    that no field holds. Schedules may be in epochs, multiply-adds in thousands of
    millions (`unit`).
    """

    value: Any
    source: str
    certainty: Sureness = "text"
    unit: Unit = ""

    @property
    def settled(self) -> bool:
        """Whether a config that differs is wrong, unless it says why it does."""
        return self.value is not None and self.certainty in SETTLED


Facts = Mapping[str, Fact]  # by quantity


def said(
    source: str,
    values: Mapping[str, Any],
    *,
    certainty: Sureness = "text",
    unit: Unit = "",
) -> dict[str, Fact]:
    """Facts that one place states with one certainty."""
    return {
        quantity: Fact(value=value, source=source, certainty=certainty, unit=unit)
        for quantity, value in values.items()
    }


def silent(*quantities: str, source: str = "not stated") -> dict[str, Fact]:
    return said(source, dict.fromkeys(quantities), certainty="silent")


def counted(
    source: str,
    *,
    params: int | None = None,
    macs: int | float | None = None,
    printed: str = "",
    certainty: Sureness = "derived",
) -> dict[str, Fact]:
    """Exact parameters, with what the paper prints of them, and multiply-adds.

    Multiply-adds that are not whole are in thousands of millions, to three digits.
    """
    facts: dict[str, Fact] = {}
    if params is not None:
        place = f"{source} prints {printed}" if printed else source
        facts |= said(place, {"parameters": params}, certainty=certainty)
    if macs is not None:
        unit: Unit = "" if isinstance(macs, int) else "G"
        facts |= said(source, {"multiply-adds": macs}, certainty=certainty, unit=unit)
    return facts


# A residual net in which nothing is varied.
ORIGINAL = {
    "order": "original",
    "join": "add",
    "gate": "none",
    "survival of the last unit": 1.0,
    "width": 1.0,
    "rectifier": "relu",
    "BatchNorm": "yes",
}
BOTTLENECK = {"branch": "bottleneck", "stride of a bottleneck": "1x1"}

# Weight decay: the slopes of PReLU never decay (He et al. 2015, Sec. 2.1).
KERNELS = "kernels; not norms, biases, slopes"
ALL_BUT_SLOPES = "all but slopes"

# What nearly every recipe has in common, none naming any of it but the optimizer.
PLAIN_SGD = {
    "optimizer": "sgd",
    "schedule": "steps",
    "label smoothing": 0.0,
    "parameter average": 0.0,
    "momentum": 0.9,
    "divided by": 10,
}
CIFAR_DATA = {"training images": 50_000, "test images": 10_000}
IMAGENET_DATA = {
    "data set": "imagenet2012",
    "training images": 1_281_167,
    "test images": 50_000,
}
NO_WARMUP = {"warm-up": 0}
WARMUP = {"warm-up": 400, "warm-up rate": 0.01, "warm-up kind": "constant"}
