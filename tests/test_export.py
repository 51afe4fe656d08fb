"""Exported files compute what `LoadedRun.predict` does, without the package."""

import sys

import exported as table
import numpy as np
import pytest
import runs
import tinyset
from jax.export import deserialize

from resnet_jax import export
from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.interop import exported, stablehlo
from resnet_jax.interop.exported import FORMATS
from resnet_jax.train.loaded import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory, shop):
    """The folder of a short run."""
    return shop.train(tmp_path_factory.mktemp("runs") / "run", {"train.steps": 4})


@pytest.fixture(autouse=True)
def installed(request):
    """What serialises, but for the tests of its absence."""
    if "absent" not in request.node.name:
        pytest.importorskip("flatbuffers")


def command(capsys, folder, *options):
    code = export.main(["export", "--workdir", str(folder), *map(str, options)])
    return code, *capsys.readouterr()


@pytest.mark.compile
def test_a_file_predicts_what_the_run_does(folder, capsys, tmp_path):
    """Read by jax alone, for two sizes of a batch; nothing else is left or changed."""
    before, out = runs.listing(folder), tmp_path / "net.stablehlo"
    code, said, err = command(capsys, folder, "--to=stablehlo", "--out", out)
    assert (code, err) == (0, "")
    start = f"{out}: uint8 [b 8 8 1] to float32 [b 10], step 4, largest difference "
    assert said.startswith(start) and said.count("\n") == 1
    assert runs.listing(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["net.stablehlo"]
    read = deserialize(bytearray(out.read_bytes()))
    assert set(read.platforms) == {"cpu", "cuda", "tpu"}
    run, images = load(folder), tinyset.images(5, (8, 8, 1))
    for count in (5, 1):
        found = np.asarray(read.call(images[:count]))
        assert found.dtype == np.float32
        expected = run.predict(images[:count])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * expected.max())
    assert expected.std() > 1e-3  # classes are told apart


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_images_are_those_of_the_data_set(dtype):
    """A net without units and a symbolic batch: flattened maps, stored dtypes."""
    run = table.drawn("VGG-7-SPP", dtype=dtype)
    content = stablehlo.serialized(run)
    (aval,) = deserialize(bytearray(content)).in_avals
    assert aval.dtype == dtype and str(aval.shape) == "(b, 8, 8, 1)"
    function = stablehlo.deserialized(content)
    assert exported.difference(run, function) <= stablehlo.BOUND


@pytest.mark.compile
@pytest.mark.parametrize("row", ["DenseNet-BC-16", "SE-PreAct-20", "3D-ResNet-8-A"])
def test_families(row):
    """Nets without units in a loop, with gates and with three axes."""
    assert float(table.told(stablehlo, table.drawn(row))) <= stablehlo.BOUND


def test_a_file_that_differs_is_not_left(folder, tmp_path, monkeypatch):
    run, out = load(folder), tmp_path / "net.stablehlo"
    monkeypatch.setattr(stablehlo, "serialized", lambda run: b"none")
    monkeypatch.setattr(
        stablehlo,
        "deserialized",
        lambda content: lambda x: np.asarray(run.probabilities(x)) * (1 + 1e-4),
    )
    with pytest.raises(ConfigError, match=r"by 1\.0e-04 of the largest, more than 1e-"):
        exported.write(run, "stablehlo", out)
    monkeypatch.setattr(
        stablehlo, "deserialized", lambda _: lambda x: np.full((len(x), 10), np.nan)
    )
    with pytest.raises(ConfigError, match="by nan of the largest"):
        exported.write(run, "stablehlo", out)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError, match=r"a\.stablehlo: cannot be written \(No"):
        exported.write(run, "stablehlo", tmp_path / "gone" / "a.stablehlo")


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--to=tflite", "--out=a.tflite"], "--to: invalid choice: 'tflite'"),
        (["--to=stablehlo"], "the following arguments are required: --out"),
        (["--to=stablehlo", "--out=a.bin"], "a.bin: must be named .stablehlo"),
        (["--to=stablehlo", "--out=no/a.stablehlo"], "there is no folder no; make it"),
        (["--to=stablehlo", "--out=old.stablehlo"], "is there already; name another"),
        (["--to=stablehlo", "--out=a.stablehlo"], "holds no config.json, so no run"),
    ],
)
def test_wrong_options_are_one_line(options, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.stablehlo").mkdir()
    code, said, err = command(capsys, tmp_path, *options)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert complaint in err
    assert [path.name for path in tmp_path.iterdir()] == ["old.stablehlo"]


def test_an_absent_library_is_one_line(capsys, tmp_path, monkeypatch):
    """Ahead of the run, which is not there either."""
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    out = tmp_path / "a.stablehlo"
    code, said, err = command(capsys, tmp_path, "--to=stablehlo", "--out", out)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert 'flatbuffers is not installed; pip install "resnet_jax[export]"' in err
    assert not out.exists()


def test_the_command_knows_the_formats():
    assert tuple(FORMATS) == export.FORMATS
