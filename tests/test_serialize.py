"""Specs as JSON and back; a network that only a file of its run describes."""

import dataclasses
import json
from pathlib import Path

import pytest

from resnet_jax.config import experiment_file
from resnet_jax.config.datasets import dataset
from resnet_jax.config.resolve import changed, validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity, serialize
from resnet_jax.models.network import network
from resnet_jax.models.zoo.resnets import cifar_resnet

EXPERIMENTS = sorted((Path(__file__).parents[1] / "experiments").glob("*.py"))


def test_every_row_of_every_experiment_comes_back_from_json():
    for path in EXPERIMENTS:
        experiment = experiment_file.load(path)
        for row in experiment.rows:
            config = experiment.config(row)
            own = config.data.name == "folder"  # of unknown classes
            classes = 3 if own else dataset(config.data).classes
            spec = network(config, num_classes=classes, devices=1)
            text = json.dumps(serialize.to_json(spec))
            assert serialize.from_json(json.loads(text)) == spec, f"{path.name}:{row}"


@pytest.mark.parametrize(
    "tree, told",
    [
        ({"spec": "os.system", "command": "true"}, "'os.system' is no spec"),
        ({"spec": "resnet.ResNetSpec", "dephts": [1]}, "dephts"),
        (
            {"spec": "resnet.ResNetSpec", "depths": [{"a": 1}], "widths": [4]},
            r"depths\[0\]: None is no spec",
        ),
        ([], "holds no network, but a part or a value"),
        ("x", "holds no network, but a part or a value"),
        ({"spec": "branch.B"}, "holds no network, but a part or a value"),
    ],
)
def test_files_name_data_and_never_code(tree, told, tmp_path):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(ConfigError, match=told):
        serialize.read(path)


def test_a_config_may_hold_a_spec_file(tmp_path):
    """Widths that no family has, with the layers and classes of the file's spec."""
    net = cifar_resnet(8, shortcut="A")
    spec = dataclasses.replace(net, widths=(6, 10, 14), stem_width=6)
    serialize.write(tmp_path / "spec.json", spec)
    changes = {
        "model": {"name": "spec", "file": str(tmp_path / "spec.json")},
        "train.epochs": 1.0,
    }
    config = validated(*changed(Config().to_dict(), changes))
    found = network(config, num_classes=10, devices=1)
    assert found == dataclasses.replace(spec, layers=found.layers)
    params = complexity.num_params(found.build(), (8, 8, 1))
    assert params == complexity.num_params(spec.build(), (8, 8, 1))
