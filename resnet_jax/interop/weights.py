"""Weights of released networks, from PyTorch's names and layouts and back."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from resnet_jax.errors import CheckpointError
from resnet_jax.interop.net import Net
from resnet_jax.interop.nets import lookup
from resnet_jax.interop.rules import Shape, Slot, flattened, slots
from resnet_jax.models.nets.spec import NetSpec
from resnet_jax.paths import shortened

StateDict = dict[str, np.ndarray]  # arrays by the names of torch.nn.Module.state_dict
Variables = dict[str, Any]  # {"params": tree, "batch_stats": tree}
UNUSED = re.compile(r"(.*\.)?num_batches_tracked")  # counts, which no output depends on
LISTED = 5  # names that an error message gives


def from_torch(
    name: str, state_dict: Mapping[str, np.ndarray]
) -> tuple[NetSpec, Variables]:
    """Convert a state_dict of a released network to a spec and its variables.

    `name`: LIBRARY/NET, e.g. "torchvision/resnet50"; docs/weights.md lists all.
    `state_dict`: arrays [out in *kernel] and [c] by their names in PyTorch. The
    number of classes is that of the classifier; dtypes stay as they are.
    ConfigError for another name; CheckpointError names arrays that are missing, left
    over, or of another shape.
    """
    net = lookup(name)
    given = _renamed(net, state_dict)
    head = given.get(f"{net.head}.weight")
    classes = 1000 if head is None or not head.ndim else len(head)
    places = slots(net.rules, net.shapes(num_classes=classes))
    wanted = {key: slot.shape for key, slot in places.items()}
    _check(name, {key: array.shape for key, array in given.items()}, wanted)
    parts: dict[tuple[str, ...], list[np.ndarray]] = {}
    for key, slot in places.items():  # the units of a stacked leaf in their order
        parts.setdefault(slot.path, []).append(slot.ours(given[key]))
    leaves = {
        path: np.stack(arrays) if "rest" in path else np.array(arrays[0])
        for path, arrays in parts.items()
    }
    return net.spec(num_classes=classes), unflatten_dict(leaves)


def to_torch(name: str, variables: Mapping[str, Any]) -> StateDict:
    """Convert variables of a network to a state_dict, the inverse of `from_torch`.

    `name` is that of `from_torch`, `variables` are {"params", "batch_stats"}; the
    arrays are [out in *kernel] and [c], as PyTorch has them, without
    `num_batches_tracked`, which PyTorch fills in as it loads them. ConfigError for
    another name; CheckpointError names arrays that are missing, left over, or of
    another shape.
    """
    net, given = lookup(name), flattened(variables)
    head = given.get(("params", "head", "kernel"))
    shapes = net.shapes(num_classes=1000 if head is None else head.shape[-1])

    def named(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Shape]:
        return {"/".join(path): tuple(leaf.shape) for path, leaf in leaves.items()}

    _check(name, named(given), named(flattened(shapes)))
    return {
        key: np.array(slot.theirs(_unit(given[slot.path], slot)), order="C")
        for key, slot in slots(net.rules, shapes).items()
    }


def _unit(leaf: Any, slot: Slot) -> np.ndarray:
    """Array of one unit of a stacked leaf."""
    return np.asarray(leaf if slot.unit is None else leaf[slot.unit])


def _renamed(net: Net, state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays that are used, by the names of the library's own state_dict."""
    found = {}
    for key, array in state_dict.items():
        if not UNUSED.fullmatch(key):
            for pattern, replacement in net.renamed:
                key = re.sub(pattern, replacement, key)
            found[key] = np.asarray(array)
    return found


def _check(name: str, given: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> None:
    """Raise CheckpointError where the names or shapes of arrays differ."""
    problems = {
        "lack": [key for key in wanted if key not in given],
        "have besides": [key for key in given if key not in wanted],
        "differ in": [
            f"{key}, {given[key]} in place of {shape}"
            for key, shape in wanted.items()
            if given.get(key, shape) != shape
        ],
    }
    told = [
        f"{verb} {', '.join(shortened(keys, most=LISTED))}"
        for verb, keys in problems.items()
        if keys
    ]
    if told:
        raise CheckpointError(f"{name}: the weights {'; '.join(told)}; name their net")
