"""Facts of papers about nets and training: value, source and certainty of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from resnet_jax.papers.value import Certainty

# silent: the paper does not say; unsure: sources differ, or the reading is uncertain.
FactCertainty = Certainty | Literal["silent", "unsure"]
SETTLED = ("text", "code", "derived")
Unit = Literal["", "epochs", "G"]
FactValue = int | float | str | tuple[int, ...] | tuple[float, ...] | None
Quantities = Mapping[str, FactValue]  # values by quantity
NO_SLOTS: Quantities = {}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Published value of one quantity, and its source.

    `value` is None if the paper is silent, and a sentence if it states a rule that no
    field can hold. Schedules may be in epochs, multiply-adds in 10^9 (`unit`).
    """

    value: FactValue
    source: str
    certainty: FactCertainty = "text"
    unit: Unit = ""

    @property
    def settled(self) -> bool:
        """True if a config that differs must give a reason."""
        return self.value is not None and self.certainty in SETTLED


Facts = dict[str, Fact]  # by quantity


def said(
    source: str,
    values: Quantities,
    *,
    certainty: FactCertainty = "text",
    unit: Unit = "",
) -> Facts:
    """Facts from one source with one certainty."""
    return {
        quantity: Fact(value=value, source=source, certainty=certainty, unit=unit)
        for quantity, value in values.items()
    }


def silent(*quantities: str, source: str = "not stated") -> Facts:
    """Facts without a value: quantities on which the paper is silent."""
    return said(source, dict.fromkeys(quantities), certainty="silent")


def epochs(
    source: str,
    total: int,
    drops: tuple[int, ...] = (),
    *,
    certainty: FactCertainty = "text",
) -> Facts:
    """Length of training and drops of the learning rate, in epochs."""
    values = {"iterations": total} | ({"drops at": drops} if drops else {})
    return said(source, values, certainty=certainty, unit="epochs")


def counted(
    source: str,
    *,
    params: int | None = None,
    macs: int | float | None = None,
    printed: str = "",
    certainty: FactCertainty = "derived",
) -> Facts:
    """Exact parameters, with the paper's rounded count, and multiply-adds.

    Multiply-adds given as a float are in 10^9, to three digits.
    """
    facts: Facts = {}
    if params is not None:
        place = f"{source} prints {printed}" if printed else source
        facts |= said(place, {"parameters": params}, certainty=certainty)
    if macs is not None:
        unit: Unit = "" if isinstance(macs, int) else "G"
        facts |= said(source, {"multiply-adds": macs}, certainty=certainty, unit=unit)
    return facts


# Slots of the original residual net.
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

# Common to nearly all recipes; the papers name the optimizer, rarely the rest.
PLAIN_SGD = {
    "optimizer": "sgd",
    "schedule": "steps",
    "label smoothing": 0.0,
    "parameter average": 0.0,
    "momentum": 0.9,
    "divided by": 10,
    "warm-up": 0,
}
CIFAR_DATA = {
    "data set": "cifar10",
    "training images": 50_000,
    "test images": 10_000,
    "evaluation": "one view of 32x32",
}
CIFAR100 = {"data set": "cifar100"}
IMAGENET_DATA = {
    "data set": "imagenet2012",
    "training images": 1_281_167,
    "test images": 50_000,
}
CIFAR_SGD = PLAIN_SGD | CIFAR_DATA
IMAGENET_SGD = PLAIN_SGD | IMAGENET_DATA
# Torch's SGD, as the released codes for Torch use it.
TORCH = {
    "momentum dialect": "torch",
    "dampening": 0.0,
    "decayed parameters": ALL_BUT_SLOPES,
    "running statistics": "torch",
}
PAD_FLIP = {"augmentation": "4-pixel zero pad, crop, flip"}
PAD_FLIP_CHANNEL = PAD_FLIP | {"normalisation": "channel"}
CENTRE_CROP = {"evaluation": "centre crop of 224, shorter side 256"}
TEN_CROPS = {"evaluation": "10 crops of 224, shorter side 256"}
WARMUP = {"warm-up": 400, "warm-up rate": 0.01, "warm-up kind": "constant"}
