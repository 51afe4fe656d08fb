"""Learned slopes: from a net's parameters to a file, and from files to a table."""

import csv
import io
import json
import math
import re

import jax
import numpy as np
import pytest
import runs
from flax.traverse_util import flatten_dict, unflatten_dict
from test_report import EXPERIMENT, build, call, log_row, made, refused, seed, write_log

from resnet_jax import papers as paper
from resnet_jax.models import complexity, inspect
from resnet_jax.models.layers.activations import PRelu, Relu
from resnet_jax.models.layers.layers import LayersSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.units.unit import FULL_PRE, SE, UnitSpec
from resnet_jax.models.zoo import resnets
from resnet_jax.paths import replaced
from resnet_jax.runs import slopes
from resnet_jax.runs.slopes import FILE

IMAGE = (8, 8, 1)

# ---------------------------------------------------------------- of a net

NET = ResNetSpec(
    depths=(1, 3), widths=(4, 8), stem_width=4, num_classes=5,
    unit=UnitSpec(order=FULL_PRE, gate=SE(2)), layers=LayersSpec(PRelu()),
)  # fmt: skip
# He et al. 2016b: the stem's, none ahead of the first unit, then before each branch
# and within it; within each gate; and the head's.
ORDER = [
    "act_stem",
    "stage1/first/branch/act_1",
    "stage1/first/act_squeeze",
    *(
        f"stage2/{unit}/{layer}"
        for unit in ("first", "rest[0]", "rest[1]")
        for layer in ("act_before", "branch/act_1", "act_squeeze")
    ),
    "act_head",
]


def filled(spec, value):
    """Parameters of a net, every leaf made by value(path, shape)."""
    shapes = flatten_dict(complexity.shapes(spec.build(), IMAGE)["params"])
    return unflatten_dict({k: value(k, leaf.shape) for k, leaf in shapes.items()})


def learned(spec, params):
    return inspect.learned_slopes(spec.build(), params, image_shape=IMAGE)


def found(spec, params):
    return [slopes.summary(*layer) for layer in learned(spec, params).items()]


def test_layers_come_in_the_order_of_the_net_and_unit_by_unit():
    """Whatever the order of the tree: jax sorts it by name."""
    drawn = np.random.default_rng(0)
    params = filled(NET, lambda path, shape: drawn.normal(size=shape))
    layers = found(NET, jax.tree.map(lambda leaf: leaf, params))
    assert [layer["layer"] for layer in layers] == ORDER
    leaf = params["stage2"]["rest"]["branch"]["act_1"]["slope"]
    assert leaf.shape == (2, 8)
    for unit in range(2):
        row = layers[ORDER.index(f"stage2/rest[{unit}]/branch/act_1")]
        assert row["number"] == 8
        assert row["mean"] == pytest.approx(leaf[unit].mean())
        assert row["std"] == pytest.approx(leaf[unit].std())
        assert (row["min"], row["max"]) == (leaf[unit].min(), leaf[unit].max())


@pytest.mark.parametrize("mode", ["scan", "unroll", "remat"])
def test_every_way_to_run_a_stage_has_the_same_layers(mode):
    net = replaced(NET, {"depth_mode": mode})
    params = filled(net, lambda path, shape: np.ones(shape))
    assert [layer["layer"] for layer in found(net, params)] == ORDER


def test_slopes_that_a_layer_shares():
    net = replaced(NET, {"layers.act": PRelu("layer")})
    layers = found(net, filled(net, lambda path, shape: np.full(shape, 0.25)))
    first = {"layer": "act_stem", "number": 1, "mean": 0.25, "std": 0.0}
    assert layers[0] == first | {"min": 0.25, "max": 0.25}
    assert len(layers) == len(ORDER)


def test_a_plain_net_has_one_rectifier_a_convolution():
    net = replaced(resnets.plain(22, shortcut="none"), {"layers.act": PRelu()})
    layers = found(net, filled(net, lambda path, shape: np.ones(shape)))
    assert len(layers) == 21
    assert [row["number"] for row in layers] == sorted(row["number"] for row in layers)


def test_a_net_without_learned_slopes_leaves_no_file(tmp_path):
    net = replaced(NET, {"layers.act": Relu()})
    layers = learned(net, filled(net, lambda path, shape: np.ones(shape)))
    slopes.write(tmp_path, layers, step=3)
    assert layers == {} and not list(tmp_path.iterdir())


def test_what_is_not_finite_is_null_in_the_file(tmp_path):
    def value(path, shape):
        return np.full(shape, math.inf if path[0] == "act_stem" else 0.5)

    slopes.write(tmp_path, learned(NET, filled(NET, value)), step=3)
    content = json.loads((tmp_path / FILE).read_text())
    assert content["step"] == 3 and content["layers"][0]["mean"] is None
    assert content["layers"][1]["mean"] == 0.5


def test_names_of_stacked_layers():
    units = {("stem",): None, ("a", "rest", "x"): 2, ("a", "rest", "y"): 2}
    units |= {("b", "rest", "x"): 1, ("restful",): None}
    assert [inspect.named(*layer) for layer in inspect.unrolled(units)] == [
        *("stem", "a/rest[0]/x", "a/rest[0]/y", "a/rest[1]/x", "a/rest[1]/y"),
        *("b/rest[0]/x", "restful"),
    ]


@pytest.mark.compile
def test_a_finished_run_leaves_the_slopes_of_its_last_step(tmp_path, shop):
    """Equal to those of its last checkpoint."""
    act = {"model.act": "prelu", "train.steps": 4}
    folder = shop.train(tmp_path / "run", act)
    content = json.loads((folder / FILE).read_text())
    assert content["step"] == 4
    leaves = runs.state(folder)
    slopes = [v for k, v in leaves.items() if re.search("params/.*/slope$", k)]
    count = sum(row["number"] for row in content["layers"])
    total = sum(row["mean"] * row["number"] for row in content["layers"])
    assert count == sum(leaf.size for leaf in slopes)
    assert total == pytest.approx(sum(float(leaf.sum()) for leaf in slopes))
    assert total != pytest.approx(0.25 * count)


# ---------------------------------------------------------------- of a report


def layer(name, *means, number=4, std=0.1):
    """A layer of each seed's file, with these means."""
    low, high = (0.0, 0.0) if number == 1 else (0.5, 0.25)
    return [
        {"layer": name, "number": number, "mean": mean, "std": std}
        | {"min": mean - low, "max": mean + high}
        for mean in means
    ]


def write_slopes(place, row, *layers, step=20):
    """slopes.json of the seeds 0, 1, ... of a row."""
    for number, own in enumerate(zip(*layers, strict=True)):
        content = {"step": step, "layers": own}
        (seed(place, row, number) / "slopes.json").write_text(json.dumps(content))


STEM, UNIT = layer("act_stem", 0.5, 0.75), layer("stage1/first/act_1", 0.25, -0.25)


@pytest.fixture
def place(tmp_path):
    """Two seeds of row A with slopes; two other rows without."""
    build(tmp_path)
    write_slopes(tmp_path, "A", STEM, UNIT)
    return tmp_path


GOLDEN = """\
**Shortcuts on a toy. Learned slopes**

A:

| Layer | Slopes | Ours, mean ± std (n) | Std of channels | Lowest | Highest |
|---|---:|---:|---:|---:|---:|
| act\\_stem | 4 | 0.625 ± 0.177 (2) | 0.100 | 0.000 | 1.000 |
| stage1/first/act\\_1 | 4 | 0.000 ± 0.354 (2) | 0.100 | -0.750 | 0.500 |

- Slope below zero of every rectifier at the last step, in the order of the net: mean \
over the channels of a layer, ± the standard deviation over the (n) seeds.
- Lowest and highest are of any channel of any seed.
- Slopes: 2 runs, SHA-256 DIGEST.
- A: fewer seeds than the paper: 2 of 5.
- Without slopes.json: plain, B.
"""


def test_golden_slopes_give_the_golden_table(place, capsys):
    table = made(place, capsys, "--slopes")
    line = next(line for line in table.splitlines() if "SHA-256" in line)
    assert table == GOLDEN.replace("DIGEST", line.split()[-1].rstrip("."))


def test_the_table_of_errors_does_not_know_of_slopes(place, capsys):
    before = made(place, capsys)
    (seed(place, "A", 0) / "slopes.json").unlink()
    assert made(place, capsys) == before


def test_numbers_in_csv_and_json(place, capsys):
    write_slopes(place, "B", layer("act", 0.3, number=1, std=0.0))
    records = json.loads(made(place, capsys, "--slopes", "--format", "json"))["layers"]
    assert [(r["row"], r["place"], r["layer"]) for r in records] == [
        ("A", 1, "act_stem"),
        ("A", 2, "stage1/first/act_1"),
        ("B", 1, "act"),
    ]
    assert records[0]["mean"] == 0.625 and records[0]["std_of_seeds"] == 0.176777
    assert records[2]["std_of_seeds"] is None and records[2]["seeds"] == [0]
    text = made(place, capsys, "--slopes", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [float(line["mean"]) for line in lines] == [0.625, 0.0, 0.3]
    assert lines[0]["seeds"] == "0; 1" and lines[0]["paper"] == ""


def test_latex_has_a_table_a_row(place, capsys):
    write_slopes(place, "B", layer("act", 0.3, 0.4))
    text = made(place, capsys, "--slopes", "--format", "latex")
    assert text.count(r"\begin{tabular}") == text.count(r"\toprule") == 2
    assert r"act\_stem & 4 & 0.625 $\pm$ 0.177 (2) &" in text


def test_shared_slopes_have_no_columns_of_channels(place, capsys):
    write_slopes(place, "A", layer("act", 0.3, 0.4, number=1, std=0.0))
    table = made(place, capsys, "--slopes")
    assert "| Layer | Slopes | Ours, mean ± std (n) |\n" in table
    assert "Lowest" not in table


@pytest.mark.parametrize("column", ["shared", "wise"])
def test_published_slopes_stand_beside_the_net_that_has_them(place, capsys, column):
    """13 rectifiers of the net of Table 2; not beside 12, nor beside another net."""
    key = f"he2015/T2/PReLU channel-{column}"
    theirs = [s.shared if column == "shared" else s.channel for s in paper.SLOPES]
    assert paper.slopes(key) == tuple(theirs)
    net = [layer(f"act_{place}", 0.1, 0.2) for place in range(13)]
    write_slopes(place, "A", *net)
    assert "Paper" not in made(place, capsys, "--slopes")
    text = EXPERIMENT.replace("he2016a/T6/ResNet-110", key)
    (place / "toy.py").write_text(text)
    table = made(place, capsys, "--slopes")
    lines = [line for line in table.splitlines() if line.startswith("| act")]
    assert [float(line.split("|")[3]) for line in lines] == theirs
    assert "- Paper: He et al. 2015, Delving Deep into Rectifiers" in table
    assert "1502.01852, Table 1; read in a transcription of the paper." in table
    write_slopes(place, "A", *net[:12])
    assert "Paper" not in made(place, capsys, "--slopes")


@pytest.mark.parametrize("suffix", [".md", ".tex", ".csv", ".json"])
def test_check_of_a_committed_table(place, capsys, suffix):
    form = {".tex": "latex"}.get(suffix, suffix[1:])
    table = place / f"slopes{suffix}"
    text = made(place, capsys, "--slopes", "--format", form)
    table.write_text(text, encoding="utf-8")
    assert call(place, "--slopes", "--check", str(table)) == 0
    write_slopes(place, "A", STEM, layer("stage1/first/act_1", 0.25, -0.255))
    code, line = refused(place, capsys, "--slopes", "--check", str(table))
    assert code == 3 and f"{table}:" in line


def test_the_table_names_the_logs_too(place, capsys):
    before = made(place, capsys, "--slopes")
    log = seed(place, "A", 1) / "metrics.jsonl"
    log.write_text(log.read_text().replace("30.0", "31.0"))
    assert made(place, capsys, "--slopes") != before


def test_only_finished_runs_count(place, capsys):
    (seed(place, "A", 1) / "DONE").unlink()
    table = made(place, capsys, "--slopes")
    assert "| 0.500 (1) |" in table and "A: incomplete: seed 1; fewer seeds" in table


def test_a_run_without_its_file_is_named_in_one_line(place, capsys):
    (seed(place, "A", 1) / "slopes.json").unlink()
    lines = made(place, capsys, "--slopes").splitlines()
    assert "- Without slopes.json: plain, A/seed1, B." in lines


def test_no_slopes_at_all(place, capsys):
    for number in range(2):
        (seed(place, "A", number) / "slopes.json").unlink()
    code, line = refused(place, capsys, "--slopes")
    assert code == 3 and "no finished run of toy has a slopes.json" in line


def wrong(**changes):
    """A file with one layer, in which something is changed."""
    return json.dumps({"step": 20, "layers": [STEM[1] | changes]})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "has no list of layers"),
        ('{"step": 20, "layers": []}', "has no list of layers"),
        ('{"step": 20, "layers": [3]}', "has a layer without a name"),
        (json.dumps({"step": 10, "layers": STEM[:1]}), "is of step 10; the run ended"),
        (wrong(layer=None), "has a layer without a name"),
        (wrong(mean=None), "act_stem: mean is not a finite number"),
        (wrong(max="1"), "act_stem: max is not a finite number"),
        (wrong(number=True), "act_stem: number is not a finite number"),
        (wrong(std=math.nan), "act_stem: std is not a finite number"),
        (wrong(), "has other layers than A/seed0"),
    ],
)
def test_a_wrong_file_is_named(place, capsys, text, complaint):
    path = seed(place, "A", 1) / "slopes.json"
    path.write_text(text)
    code, line = refused(place, capsys, "--slopes")
    assert code == 3 and f"{path}: {complaint}" in line
    table = made(place, capsys, "--slopes", "--skip_bad")
    assert "| 0.500 (1) |" in table
    assert f"- A/seed1: slopes.json: {complaint}".replace("_", r"\_") in table


def test_names_of_layers_stay_text(place, capsys):
    write_slopes(place, "A", layer("</td>|<script>$x$\u202e", 0.5, 0.5))
    for form in ("md", "latex", "csv", "json"):
        text = made(place, capsys, "--slopes", "--format", form)
        assert "\u202e" not in text
        assert "<script" not in text or form == "csv"  # text there, as everything is


def test_options_of_errors_are_refused(place, capsys):
    for option in (("--against", "A"), ("--axis", "depth")):
        code, line = refused(place, capsys, "--slopes", *option)
        assert code == 2 and "--against, --axis: are of errors" in line


def test_figures_are_written_and_repeat(place, capsys):
    pytest.importorskip("matplotlib")
    text = EXPERIMENT.replace("he2016a/T6/ResNet-110", "he2015/T2/PReLU channel-shared")
    (place / "toy.py").write_text(text)
    net = [layer(f"act_{place}", 0.1, 0.2) for place in range(13)]
    pictures = []
    for count in (13, 13, 12):
        write_slopes(place, "A", *net[:count])
        png = place / "slopes.png"
        made(place, capsys, "--slopes", "--figure", str(png))
        pictures.append(png.read_bytes())
    assert pictures[0][:4] == b"\x89PNG"
    assert pictures[0] == pictures[1] != pictures[2]
    where = str(place / "none" / "a.png")
    assert refused(place, capsys, "--slopes", "--figure", where)[0] == 6


def test_a_longer_run_than_its_slopes_is_told(place, capsys):
    """A run that goes on keeps the file of its earlier end until it ends again."""
    folder = seed(place, "A", 0)
    write_log(folder, [log_row("test", 20, 8.0), log_row("test", 30, 7.0)])
    (folder / "DONE").write_text(json.dumps({"step": 30, "wall_s": 90.0}))
    code, line = refused(place, capsys, "--slopes")
    assert code == 3 and "is of step 20; the run ended at 30" in line
