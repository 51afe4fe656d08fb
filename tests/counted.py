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


def params(spec, image) -> int:
    if found := known(spec, image):
        return found["params"]
    return complexity.num_params(spec.build(), image)


def multiply_adds(spec, image) -> int:
    if found := known(spec, image):
        return found["macs"]
    return complexity.multiply_adds(spec.build(), image)


def known(spec, image):
    """The counts of frozen.json; None for a net that no experiment has."""
    return FROZEN.get(rows().get((plain(spec), tuple(image)), ""))


@functools.cache
def rows() -> dict[tuple[str, tuple[int, ...]], str]:
    """FILE:ROW by the plain spec and the images of a net."""
    found = {}
    for path in sorted((TESTS.parent / "experiments").glob("*.py")):
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
