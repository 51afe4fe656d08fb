"""Weights of released networks: names, layouts, errors, files and run folders."""

import hashlib
import json
import pathlib
import re
import struct

import jax
import numpy as np
import pytest
import released
from flax.traverse_util import flatten_dict

from resnet_jax import convert, evaluate
from resnet_jax.errors import CheckpointError, ConfigError
from resnet_jax.interop import files, torchvision
from resnet_jax.interop.net import Net
from resnet_jax.interop.nets import NETS, lookup
from resnet_jax.interop.rules import FLATTENED, KERNEL, POINTWISE, Rule, slots
from resnet_jax.interop.weights import from_torch, to_torch
from resnet_jax.models import complexity
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.plain import (
    FC,
    BiasedConv,
    Flatten,
    MaxPool,
    PlainSpec,
)
from resnet_jax.train import trained

RNG = np.random.default_rng(0)
DOCS = pathlib.Path(__file__).parents[1] / "docs" / "weights.md"
DIGITS = {"data.name": "digits"}
# Nets of the size of a test, by rules of released ones
RESIDUAL = Net(
    torchvision.RESNET,
    {"model.name": "cifar_resnet", "model.depth": 8, "model.width": 0.25},
    DIGITS,
)
PLAIN = Net(
    (
        Rule("conv1", "features.0"),
        Rule("norm_1", "features.1"),
        Rule("fc1", "classifier.0", type(FLATTENED)((4, 4))),
        Rule("head", "classifier.3"),
    ),
    PlainSpec(
        records=(BiasedConv(3), MaxPool(), Flatten(), FC(6), FC(None, ())),
        layers=LayersSpec(),
    ),
    DIGITS,
)
TOYS = {"toy/resnet": RESIDUAL, "toy/vgg": PLAIN}


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    for name, net in TOYS.items():
        monkeypatch.setitem(NETS, name, net)


def drawn(name, *, classes=10):
    """State_dict of a net, float32, each array drawn by its place."""
    net = NETS[name]
    shapes = net.shapes(num_classes=classes)
    return {
        key: RNG.uniform(0.5, 1.5, slot.shape).astype(np.float32)
        for key, slot in slots(net.rules, shapes).items()
    }


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for key in wanted:
        np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
        assert found[key].dtype == wanted[key].dtype


# --- names and layouts


def test_a_rule_names_the_module_of_a_layer():
    rule = Rule("stage{s}/{u}/branch/conv{i}", "layer{s}.{u}.conv{i}")
    assert rule.name("stage3/22/branch/conv1") == "layer3.22.conv1"
    assert rule.name("stage3/22/branch/norm_1") is None
    assert rule.name("stage3/22/branch/conv1/more") is None
    assert Rule("s{s}/{u}", "s{s}.b{u+1}").name("s2/0") == "s2.b1"


def test_layers_without_a_rule_or_with_a_common_name_are_refused():
    net = RESIDUAL
    shapes = net.shapes(num_classes=10)
    with pytest.raises(LookupError, match="norm_stem: no rule"):
        slots([rule for rule in net.rules if rule.ours != "norm_stem"], shapes)
    twice = [Rule("norm_stem", "layer1.0.bn1"), *net.rules]
    with pytest.raises(LookupError, match=r"layer1\.0\.bn1\.\w+: is the name of"):
        slots(twice, shapes)


def test_kernels_compute_the_same_in_both_layouts():
    """Against products written out; all sizes differ."""
    kernel = RNG.normal(size=(5, 4, 2, 3))  # out, in, two axes
    ours = KERNEL.ours(kernel)
    assert all(
        ours[h, w, i, o] == kernel[o, i, h, w] for o, i, h, w in np.ndindex(5, 4, 2, 3)
    )
    matrix, x = RNG.normal(size=(5, 4)), RNG.normal(size=4)
    np.testing.assert_allclose(x @ KERNEL.ours(matrix), matrix @ x)
    pointwise = matrix[:, :, None, None]
    np.testing.assert_allclose(x @ POINTWISE.ours(pointwise), matrix @ x)
    flattened, matrix = type(FLATTENED)((2, 3)), RNG.normal(size=(5, 24))
    image = RNG.normal(size=(2, 3, 4))  # height, width, channels
    wanted = matrix @ np.moveaxis(image, -1, 0).ravel()
    np.testing.assert_allclose(image.ravel() @ flattened.ours(matrix), wanted)
    pairs = ((KERNEL, kernel), (POINTWISE, pointwise), (flattened, matrix))
    for layout, array in (*pairs, (KERNEL, RNG.normal(size=(6, 5, 2, 3, 4)))):
        np.testing.assert_array_equal(layout.theirs(layout.ours(array)), array)
        assert layout.shape(layout.ours(array).shape) == array.shape


@pytest.mark.parametrize("name", ["toy/vgg", "toy/resnet", "torchvision/resnet18"])
def test_there_and_back_is_the_same(name):
    given = drawn(name)
    spec, variables = from_torch(name, given)
    shapes = complexity.shapes(spec.build(), NETS[name].image_shape)
    found = {path: leaf.shape for path, leaf in flatten_dict(variables).items()}
    wanted = {path: leaf.shape for path, leaf in flatten_dict(shapes).items()}
    assert found == wanted
    assert_same(to_torch(name, variables), given)


def test_units_of_a_stage_are_stacked_in_their_order():
    """The 3 other units of layer2 of ResNet-34."""
    name = "torchvision/resnet34"
    given = drawn(name)
    _, variables = from_torch(name, given)
    stacked = variables["batch_stats"]["stage2"]["rest"]["branch"]["norm_2"]["var"]
    units = [given[f"layer2.{unit}.bn2.running_var"] for unit in (1, 2, 3)]
    np.testing.assert_array_equal(stacked, units)
    first = variables["batch_stats"]["stage2"]["first"]["branch"]["norm_2"]["var"]
    np.testing.assert_array_equal(first, given["layer2.0.bn2.running_var"])


def test_counts_of_batches_are_ignored_and_classes_are_those_of_the_file():
    given = drawn("toy/resnet", classes=7)
    more = {"bn1.num_batches_tracked": np.array(3), **given}
    spec, variables = from_torch("toy/resnet", more)
    assert spec.num_classes == 7
    assert_same(to_torch("toy/resnet", variables), given)


def test_released_names_of_densenet_are_those_of_torchvision():
    net = lookup("torchvision/densenet121")
    old = "features.denseblock3.denselayer24.norm.1.running_mean"
    for pattern, replacement in net.renamed:
        assert re.sub(pattern, replacement, old) == old.replace("norm.1", "norm1")
        assert re.sub(pattern, replacement, "features.norm5.weight").endswith(
            "norm5.weight"
        )


@pytest.mark.compile
@pytest.mark.parametrize("name", sorted(released.SHAPES))
def test_every_net_has_the_names_and_shapes_of_its_library(name):
    """Golden files: golden/make_torch.py."""
    net = lookup(name)
    places = slots(net.rules, net.shapes(num_classes=10))
    found = {key: list(slot.shape) for key, slot in places.items()}
    assert found == released.SHAPES[name]


def test_no_net_is_without_golden_files():
    assert released.SHAPES.keys() == released.VALUES.keys() == NETS.keys() - TOYS.keys()


# --- what is refused


def test_names_and_shapes_that_differ_are_named():
    given = drawn("toy/resnet")
    given["fc.scale"] = given.pop("fc.bias")
    given["conv1.weight"] = given["conv1.weight"][:, :, :1]
    with pytest.raises(CheckpointError) as error:
        from_torch("toy/resnet", given)
    text = str(error.value)
    assert "lack fc.bias; have besides fc.scale; differ in conv1.weight, " in text
    assert "(4, 1, 1, 3) in place of (4, 1, 3, 3)" in text and "\n" not in text


def test_a_long_list_of_names_is_cut():
    given = drawn("toy/resnet")
    kept = {key: given[key] for key in ("conv1.weight", "fc.weight", "fc.bias")}
    with pytest.raises(
        CheckpointError, match=f"and {len(given) - 3 - 5} more; name their net"
    ):
        from_torch("toy/resnet", kept)


def test_variables_of_another_net_are_refused():
    _, variables = from_torch("toy/resnet", drawn("toy/resnet"))
    variables["params"]["stage1"].pop("first")
    with pytest.raises(CheckpointError, match="lack params/stage1/first/branch/conv1"):
        to_torch("toy/resnet", variables)


def test_an_unknown_net_is_answered_by_a_close_one():
    with pytest.raises(ConfigError, match=r"did you mean 'torchvision/resnet50'"):
        from_torch("torchvision/resnet5", {})


# --- files


def safetensors(arrays):
    """The format, written out: length of the header, header, data."""
    header, offset = {}, 0
    for name, array in arrays.items():
        ends = [offset, offset + array.nbytes]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": ends}
        offset += array.nbytes
    text = json.dumps(header).encode()
    data = b"".join(array.tobytes() for array in arrays.values())
    return struct.pack("<Q", len(text)) + text + data


def test_safetensors_are_read_and_written(tmp_path):
    pytest.importorskip("safetensors")
    given, path = drawn("toy/resnet"), tmp_path / "weights.safetensors"
    path.write_bytes(safetensors(given))
    assert_same(files.read(path), given)
    files.write(tmp_path / "new.safetensors", given)
    assert_same(files.read(tmp_path / "new.safetensors"), given)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"weights.safetensors: cannot be read"):
        files.read(path)


@pytest.mark.process  # torch asks ldconfig for libraries as it is imported
def test_pth_files_are_read_and_written_and_never_unpickle_code(tmp_path):
    torch = pytest.importorskip("torch")
    given, path = drawn("toy/resnet"), tmp_path / "weights.pth"
    files.write(path, given)
    assert_same(files.read(path), given)
    tensors = {f"module.{name}": torch.from_numpy(given[name]) for name in given}
    torch.save({"epoch": 3, "state_dict": tensors}, path)
    assert_same(files.read(path), given)
    torch.save({"weights": pathlib.Path("/")}, path)
    with pytest.raises(CheckpointError, match=r"weights.pth: cannot be read"):
        files.read(path)
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match="holds no state_dict"):
        files.read(path)


def test_files_that_cannot_be_weights_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"must be a file named .safetensors"):
        files.read(tmp_path / "weights.t7")
    with pytest.raises(ConfigError, match="there is no such file"):
        files.read(tmp_path / "weights.pth")


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "weights.pth").touch()
    with pytest.raises(ConfigError, match=r'pip install "resnet_jax\[torch\]"'):
        files.read(tmp_path / "weights.pth")


# --- run folders


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file, whose arrays are given in place of those that a library would read."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"of no matter")
    given = {}
    monkeypatch.setattr(files, "read", lambda path: given)
    monkeypatch.setattr(files, "_safetensors", lambda: None)
    written = {}
    monkeypatch.setattr(files, "write", lambda path, arrays: written.update(arrays))
    return path, given, written


def command(*arguments):
    return convert.main(["convert", *map(str, arguments)])


@pytest.mark.parametrize("name", TOYS)
def test_a_converted_net_is_a_run_folder(name, weights, tmp_path, shop, monkeypatch):
    """Its checkpoint holds the arrays; evaluate takes it from any folder."""
    path, given, written = weights
    given.update(drawn(name))
    out = tmp_path / "new" / "run"
    assert command("--from", name, path, "--out", out) == 0
    assert json.loads((out / "source.json").read_text()) == {
        "net": name,
        "file": str(path),
        "sha256": hashlib.sha256(b"of no matter").hexdigest(),
    }
    assert "resnet_jax.convert" in json.loads((out / "env.json").read_text())["command"]
    assert [*out.parent.iterdir()] == [out]
    monkeypatch.chdir(tmp_path)
    net = trained.load(out, data_dir=str(shop.folder / "tfds"))
    spec, variables = from_torch(name, given)
    assert net.step == 0 and net.experiment.net == spec
    jax.tree.map(np.testing.assert_array_equal, net.variables, variables)
    assert command("--to", name, out, "--out", tmp_path / "back.safetensors") == 0
    assert_same(written, given)


def test_evaluate_scores_a_converted_net(weights, tmp_path, shop, capsys):
    path, given, _ = weights
    given.update(drawn("toy/vgg"))
    out = tmp_path / "run"
    assert command("--from", "toy/vgg", path, "--out", out) == 0
    capsys.readouterr()
    place = ["--workdir", str(out), "--data_dir", str(shop.folder / "tfds")]
    assert evaluate.main(["evaluate", *place]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["n"], row["step"]) == (360, 0)


def test_nothing_is_made_where_weights_are_refused(weights, tmp_path, capsys):
    path, given, _ = weights
    given.update(drawn("toy/vgg"))
    given.pop("classifier.3.bias")
    before = sorted(tmp_path.rglob("*"))
    assert command("--from", "toy/vgg", path, "--out", tmp_path / "a" / "run") == 4
    assert sorted(tmp_path.rglob("*")) == before
    assert (
        f"{path}: toy/vgg: the weights lack classifier.3.bias"
        in capsys.readouterr().err
    )


def test_a_folder_with_files_is_left_alone(weights, tmp_path, capsys):
    path, given, _ = weights
    given.update(drawn("toy/vgg"))
    assert command("--from", "toy/vgg", path, "--out", tmp_path) == 2
    assert "holds files already" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [path]


def test_a_net_of_another_function_is_not_written(
    weights, tmp_path, capsys, monkeypatch
):
    """Equal names and shapes, but the rectifier is another."""
    path, given, written = weights
    given.update(drawn("toy/resnet"))
    out = tmp_path / "run"
    assert command("--from", "toy/resnet", path, "--out", out) == 0
    fields = {**RESIDUAL.model, "model.act": "elu"}
    monkeypatch.setitem(NETS, "toy/elu", Net(RESIDUAL.rules, fields, DIGITS))
    assert command("--to", "toy/elu", out, "--out", tmp_path / "back.safetensors") == 2
    assert "its network is not toy/elu: layers.act" in capsys.readouterr().err
    assert not written


def test_fields_of_training_do_not_matter_to_the_way_back(weights, tmp_path):
    path, given, written = weights
    given.update(drawn("toy/resnet"))
    out = tmp_path / "run"
    assert command("--from", "toy/resnet", path, "--out", out) == 0
    config = json.loads((out / "config.json").read_text())
    config["model"]["init"] = "xavier"
    (out / "config.json").write_text(json.dumps(config))
    assert command("--to", "toy/resnet", out, "--out", tmp_path / "b.safetensors") == 0
    assert_same(written, given)
    assert all(array.flags.writeable for array in written.values())


@pytest.mark.parametrize(
    "arguments, told",
    [
        ((), "give one of --from NET FILE, --to NET DIR, --list"),
        (("--list", "--to", "a", "b"), "give one of"),
        (("--from", "torchvision/resnet50", "f.pth"), "--out: names the new"),
        (("--from", "torch/resnet50", "f.pth", "--out", "d"), "is not covered"),
        (("--to", "toy/vgg", "no_run", "--out", "f.pkl"), "must be named .safetensors"),
    ],
)
def test_usage_is_told_in_one_line(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1
    assert not [*tmp_path.iterdir()]


def test_every_net_is_listed(capsys):
    assert command("--list") == 0
    assert capsys.readouterr().out.split() == [*NETS]


# --- configs and docs


def test_configs_have_the_preprocessing_of_the_released_weights():
    config = lookup("torchvision/resnet50").config(num_classes=1000)
    assert (config.data.augment, config.data.normalize) == ("imagenet_scale", "channel")
    assert config.model.unit.branch.stride_at == "3x3"
    assert (
        lookup("timm/seresnet50").config(num_classes=9).data.augment
        == "imagenet_aspect"
    )


def test_docs_list_every_net():
    rows = re.findall(r"^\| `([^`]+)/` \| ([^|]+) \|", DOCS.read_text(), re.MULTILINE)
    listed = [
        f"{library}/{name}"
        for library, names in rows
        for name in re.findall(r"`([^`]+)`", names)
    ]
    assert sorted(listed) == sorted(NETS.keys() - TOYS.keys())
