"""Rules that pair layers here with modules in PyTorch, and the layouts of their arrays.

A family of networks is a tuple of rules. Applied to the variables of a net they give
the PyTorch name of every leaf: one for each unit of a stacked leaf.
"""

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import PyTree

Path = tuple[str, ...]  # ("params", "stage1", "rest", "branch", "conv1", "kernel")
Shape = tuple[int, ...]
# Leaves of a convolution, a fully connected layer, a norm or a bias
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Kernel [out in/groups *k] in PyTorch, [*k in/groups out] here."""

    def ours(self, array: np.ndarray) -> np.ndarray:
        """Transpose an array of PyTorch."""
        return np.transpose(array, (*range(2, array.ndim), 1, 0))

    def theirs(self, array: np.ndarray) -> np.ndarray:
        """Transpose an array to PyTorch's layout."""
        *spatial, features_in, features_out = range(array.ndim)
        return np.transpose(array, (features_out, features_in, *spatial))

    def shape(self, ours: Shape) -> Shape:
        """Shape in PyTorch of an array here."""
        return (*ours[:-3:-1], *ours[:-2])


@dataclasses.dataclass(frozen=True)
class Pointwise(Kernel):
    """1x1 convolution of a vector [out in 1 1] in PyTorch, [in out] here."""

    def ours(self, array: np.ndarray) -> np.ndarray:
        return super().ours(array)[0, 0]

    def theirs(self, array: np.ndarray) -> np.ndarray:
        return super().theirs(array[None, None])

    def shape(self, ours: Shape) -> Shape:
        return super().shape((1, 1, *ours))


@dataclasses.dataclass(frozen=True)
class Flattened(Kernel):
    """Fully connected layer on a map of `size`, flattened.

    [out c*size] in PyTorch, [size*c out] here.
    """

    size: Shape = (7, 7)

    def ours(self, array: np.ndarray) -> np.ndarray:
        whole = array.reshape(len(array), -1, *self.size)
        return super().ours(whole).reshape(-1, len(array))

    def theirs(self, array: np.ndarray) -> np.ndarray:
        out = array.shape[-1]
        return super().theirs(array.reshape(*self.size, -1, out)).reshape(out, -1)


KERNEL, POINTWISE, FLATTENED = Kernel(), Pointwise(), Flattened()


@dataclasses.dataclass(frozen=True)
class Rule:
    """Pair of a layer here and a module in PyTorch.

    >>> Rule("stage{s}/{u}/branch/conv{i}", "layer{s}.{u}.conv{i}")

    Letters in braces are numbers, {u+1} is one more. Units of a stage count from 0.
    """

    ours: str
    theirs: str
    kernel: Kernel = KERNEL

    def name(self, layer: str) -> str | None:
        """Name in PyTorch of a layer here; None where the rule is of another."""
        found = self._pattern.fullmatch(layer)
        if found is None:
            return None

        def number(brace: re.Match[str]) -> str:
            return str(int(found[brace[1]]) + bool(brace[2]))

        return re.sub(r"\{(\w)(\+1)?\}", number, self.theirs)

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{(\w)\}", r"(?P<\1>\\d+)", self.ours))


class Slot(NamedTuple):
    """Place of an array of PyTorch in the variables here."""

    path: Path
    unit: int | None  # index along the axis `units` of a stacked leaf
    kernel: Kernel
    shape: Shape  # in PyTorch

    def ours(self, array: np.ndarray) -> np.ndarray:
        """Array of PyTorch in the layout here."""
        return self.kernel.ours(array) if self.path[-1] == "kernel" else array

    def theirs(self, array: np.ndarray) -> np.ndarray:
        """Array of one unit here in PyTorch's layout."""
        return self.kernel.theirs(array) if self.path[-1] == "kernel" else array


def flattened(tree: Mapping[str, PyTree]) -> dict[Path, Any]:
    """Leaves of variables by path."""
    return cast(dict[Path, Any], flatten_dict(dict(tree)))


def slots(rules: Iterable[Rule], variables: Mapping[str, PyTree]) -> dict[str, Slot]:
    """Slot of every array of a net in PyTorch, by its name there.

    `variables` are arrays or shapes. LookupError for a layer without a rule, or with
    the name of another.
    """
    rules, found = tuple(rules), {}
    for path, leaf in flattened(variables).items():
        for unit, shape in _units(path, tuple(leaf.shape)):
            layer = _layer(path, unit)
            names = [(rule, rule.name(layer)) for rule in rules]
            rule, name = next((pair for pair in names if pair[1]), (None, None))
            if rule is None:
                raise LookupError(f"{layer}: no rule gives its name")
            theirs = rule.kernel.shape(shape) if path[-1] == "kernel" else shape
            key = f"{name}.{LEAVES[path[-1]]}"
            if key in found:
                raise LookupError(f"{key}: is the name of {found[key].path} and {path}")
            found[key] = Slot(path, unit, rule.kernel, theirs)
    return found


def _units(path: Path, shape: Shape) -> Iterator[tuple[int | None, Shape]]:
    """(index, shape) of each unit of a stacked leaf, or of the whole leaf."""
    if "rest" not in path:
        yield None, shape
        return
    for unit in range(shape[0]):
        yield unit, shape[1:]


def _layer(path: Path, unit: int | None) -> str:
    """Layer of a leaf with the number of its unit: `stage1/2/branch/conv1`."""
    numbers = {"first": "0", "rest": str((unit or 0) + 1)}
    return "/".join(numbers.get(part, part) for part in path[1:-1])
