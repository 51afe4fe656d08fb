"""Nets of all families as files of every format, beside what the nets compute.

    python tests/exported.py [ROW ...]

prints the table of docs/export.md: for rows of experiments/digits_families.py, small
and with drawn weights, the largest difference of a probability, relative to the largest
one, or what the format lacks. "-": the libraries of the format are not installed.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import reference

from resnet_jax.config import experiment_file
from resnet_jax.data.inputs import Inputs
from resnet_jax.errors import ConfigError
from resnet_jax.interop.exported import FORMATS, difference
from resnet_jax.models import complexity
from resnet_jax.models.network import network
from resnet_jax.train.loaded import LoadedRun

FILE = pathlib.Path(__file__).parents[1] / "experiments" / "digits_families.py"
STATISTICS = {"channel_mean": np.array([77.0]), "channel_std": np.array([95.0])}
CLASSES = tuple("0123456789")
SHALLOW = {
    "PreAct-20": 8, "ResNet-20-A": 8, "PreAct-20-PReLU": 8, "WRN-10-2": 10,
    "ResNeXt-20-4x32d": 11, "SE-PreAct-20": 8, "Shake-Shake-20": 8,
    "Ghost-ResNet-20": 8, "G-Ghost-ResNet-20": 20, "GhostNet-0.5x": None,
    "Min-Net-20": 8, "MGIC-18": None, "RK4-14": None, "RKCNN-E": None, "BWN-20": 8,
    "XNOR-20": 8, "DenseNet-BC-16": 10, "harmonic-16": 16, "threshold-16": 16,
    "NIN": None, "All-CNN-C": None, "VGG-7": None, "VGG-7-SPP": None,
    "3D-ResNet-8-A": 8, "3D-ResNeXt-11": 11,
}  # fmt: skip


def drawn(row: str, *, dtype: str = "uint8") -> LoadedRun:
    """A row as a run that has not been trained: its weights are drawn."""
    depth = SHALLOW.get(row)
    fields = [] if depth is None else [f"--config.model.depth={depth}"]
    config = experiment_file.load(FILE).config(row, fields)
    clips = config.data.name == "moving_digits"
    shape = (8, 16, 16, 1) if clips else (8, 8, 1)
    spec = network(config, num_classes=len(CLASSES), devices=1)
    net = spec.build()
    values = reference.draw(complexity.shapes(net, shape), np.random.default_rng(0))
    variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), values)
    inputs = Inputs(config.data, shape, np.dtype(dtype), STATISTICS, CLASSES)
    return LoadedRun(spec, net, variables, 0, inputs)


def told(form, run: LoadedRun) -> str:
    """Largest difference of a format, or why there is none."""
    try:
        form.check_installed()
    except ConfigError:
        return "-"
    try:
        largest = difference(run, form.deserialized(form.serialized(run)))
    except ConfigError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"refused: {type(error).__name__}: {str(error)[:300]}"
    return f"{largest:.0e}" if largest <= form.BOUND else f"refused: {largest:.0e}"


if __name__ == "__main__":
    print(f"| row | {' | '.join(FORMATS)} |\n|---|{'---:|' * len(FORMATS)}")
    for name in sys.argv[1:] or SHALLOW:
        run = drawn(name)
        cells = [told(form, run) for form in FORMATS.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
