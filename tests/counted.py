"""Parameters and multiply-adds of a net, looked up where an experiment has the net.

golden/frozen.json holds the exact counts of every row of every experiment file, and
test_experiments.py counts these rows: so a published net is traced in one test.
"""

import dataclasses
import functools
import json
import pathlib

from resnet_jax.analysis.audit_values import ConfigValues
from resnet_jax.config import experiment_file
from resnet_jax.models import complexity
from resnet_jax.models.layers.batchnorm import TORCH
from resnet_jax.models.layers.layers import LayersSpec

TESTS = pathlib.Path(__file__).parent
FROZEN = json.loads((TESTS / "golden" / "frozen.json").read_text())["rows"]


@functools.cache
def counts(spec, image) -> tuple[complexity.Parts, int]:
    """Parameters by kind, and multiply-adds."""
    if row := rows().get((plain(spec), tuple(image))):
        return complexity.Parts(**FROZEN[row]["parts"]), FROZEN[row]["macs"]
    return complexity.counts(spec.build(), image)


def params(spec, image) -> int:
    return counts(spec, image)[0].params


def multiply_adds(spec, image) -> int:
    return counts(spec, image)[1]


@functools.cache
def rows() -> dict[tuple[str, tuple[int, ...]], str]:
    """FILE:ROW by the plain spec and the images of a net."""
    found = {}
    for path in sorted((TESTS.parent / "experiments").glob("*.py")):
        if path.stem == "finetune_folder":
            continue  # the classes of one's own images are not known here
        experiment = experiment_file.load(path)
        for name in experiment.rows:
            row = ConfigValues(experiment.config(name))
            found[plain(row.net), tuple(row.image)] = f"{path.stem}:{name}"
    return found


def plain(spec) -> str:
    """A spec without what changes no count: dialect, drawing, arithmetic, survival."""
    layers = dataclasses.replace(
        spec.layers,
        norm=spec.layers.norm and TORCH,
        init=LayersSpec().init,
        dtype=LayersSpec().dtype,
    )
    own = {"layers": layers, "depth_mode": "scan", "survival": 1.0}
    fields = {field.name for field in dataclasses.fields(spec)}
    present = {name: value for name, value in own.items() if name in fields}
    return repr(dataclasses.replace(spec, **present))
