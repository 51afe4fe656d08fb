"""slopes.json: statistics of the learned slopes of every rectifier.

{"step": 448, "layers": [{"layer": "act_stem", "number": 16,
                          "mean": 0.2, "std": 0.1, "min": -0.1, "max": 0.4}, ...]}

Layers are in the order of the net. Statistics are over the `number` slopes of a layer:
one per channel, or 1 that all channels share.
"""

import json
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from resnet_jax.runs.directory import write_json
from resnet_jax.runs.row import as_number

FILE = "slopes.json"
NUMBERS = ("mean", "std", "min", "max")


class FiniteSlopes(TypedDict):
    """Slopes of one layer, all of them finite."""

    layer: str
    number: int
    mean: float
    std: float
    min: float
    max: float


def write(
    folder: pathlib.Path, learned: Mapping[str, Sequence[float]], *, step: int
) -> None:
    """Write slopes.json from the slopes of every layer; no file without any layer."""
    layers = [summary(layer, slopes) for layer, slopes in learned.items()]
    if layers:
        write_json(folder / FILE, {"step": step, "layers": layers})


def summary(layer: str, slopes: Sequence[float]) -> dict[str, Any]:
    """Statistics of one layer's slopes; None unless all slopes are finite."""
    numbers: dict[str, float | None] = dict.fromkeys(NUMBERS)
    if all(map(math.isfinite, slopes)):
        numbers["mean"] = statistics.fmean(slopes)
        numbers["std"] = statistics.pstdev(slopes)
        numbers["min"], numbers["max"] = min(slopes), max(slopes)
    return {"layer": layer, "number": len(slopes), **numbers}


def read(text: bytes, *, step: int | None) -> tuple[FiniteSlopes, ...]:
    """Parse slopes.json of a run that ended at `step`; ValueError for a bad file."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    layers = content.get("layers") if isinstance(content, dict) else None
    if not isinstance(layers, list) or not layers:
        raise ValueError("has no list of layers")
    if content.get("step") != step:
        raise ValueError(f"is of step {content.get('step')}; the run ended at {step}")
    for layer in layers:
        if not isinstance(layer, dict) or not isinstance(layer.get("layer"), str):
            raise ValueError("has a layer without a name")
        for name in ("number", *NUMBERS):
            number = as_number(layer.get(name))
            if number is None or not math.isfinite(number):
                raise ValueError(f"{layer['layer']}: {name} is not a finite number")
    return cast(tuple[FiniteSlopes, ...], tuple(layers))
