"""Benchmarks: tables and goals from made-up rows, worker processes, equal networks.

Nothing is timed.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from resnet_jax.errors import ConfigError
from resnet_jax.sweep import estimate
from resnet_jax.train.mesh import Devices

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import cases
import jitted
import ours
import parts
import picture
import processes
import render
import run
import work
import worker
from goals import GOALS
from peers import plain_flax

TRAINED = {
    case.row: case
    for each in cases.CASES.values()
    for case in each
    if case.kind == "train" and case.net
}
trained = pytest.mark.parametrize("case", TRAINED.values(), ids=TRAINED)


def row(case, way, *, status="ok", facts=(), **samples):
    facts = {"params": 1000, "multiply_adds": 10**6} | dict(facts)
    return {
        "case": case,
        "way": way,
        "status": status,
        "facts": facts if status == "ok" else {},
        "samples": samples,
    }


def result(*rows, platform="cpu"):
    known = {case.name: case for case in cases.CASES[platform]}
    return {
        "environment": {
            "platform": platform,
            "processor": "Abacus",
            "cpu_count": 2,
            "devices": ["Tesla"],
            "python": "3.11.7",
            "packages": {"jax": "0.10.2", "torch": None},
            "commit": "c0ffee",
            "load": 0.04,
            "started": "2026-01-01T00:00:00+00:00",
            "command": ["python", "benchmarks/run.py", "Loop, digits"],
        },
        "cases": {
            name: dataclasses.asdict(known[name]) for name in {r["case"] for r in rows}
        },
        "rows": list(rows),
    }


def goal_line(results, figure):
    """Cells of a goal: figure, device, measured, goal, met."""
    text = render.markdown(results)
    line = next(line for line in text.splitlines() if figure in line)
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def table(results, title):
    """The rows below a title, as {first cell: other cells}."""
    _, _, below = render.markdown(results).partition(f"### {title}")
    lines = [line for line in below.split("\n\n")[1].splitlines()]
    cells = [[c.strip() for c in line[1:-1].split(" | ")] for line in lines]
    return {first: rest for first, *rest in cells}


def test_a_goal_is_met_by_the_median_of_the_ratios_of_the_turns():
    rolled = row("ResNet-20", "ours", step_ms=[110, 300, 105])
    unrolled = row("ResNet-20", "unrolled", step_ms=[100, 200, 100])
    found = goal_line([result(rolled, unrolled)], "over unrolled step, ResNet-20")
    assert found[1:] == ["CPU", "1.1 (1.05 to 1.5)", "at most 1.1", "yes"]


def test_a_goal_is_not_met():
    rolled = row("ResNet-20", "ours", step_ms=[111, 111])
    unrolled = row("ResNet-20", "unrolled", step_ms=[100, 100])
    found = goal_line([result(rolled, unrolled)], "over unrolled step, ResNet-20")
    assert found[1:] == ["CPU", "1.11", "at most 1.1", "**no**"]


def test_a_goal_without_its_peer_says_why():
    rows = [
        row("ResNet-110", "ours", step_ms=[100]),
        row("ResNet-110", "torch", status="not installed: torch"),
    ]
    found = goal_line([result(*rows)], "PyTorch eager, channels_last, ResNet-110")
    assert found[2:4] == ["not measured: not installed: torch", "at least 1"]


def test_ours_is_held_against_the_fastest_of_the_jax_peers():
    rows = [
        row("ResNet-50", "ours", step_ms=[100]),
        row("ResNet-50", "flax", step_ms=[180]),
        row("ResNet-50", "haiku", step_ms=[160]),
        row("ResNet-50", "keras", status="timed out after 180 s", step_ms=[10]),
    ]
    found = goal_line([result(*rows)], "fastest JAX peer, ResNet-50")
    assert found[2:] == ["1.6, dm-haiku", "at least 1.5", "yes"]


def test_goals_of_a_gpu_are_not_met_by_a_cpu():
    figure, name = "five seeds in one program", "Five seeds of ResNet-20"
    rows = [row(name, "ours", step_ms=[10]), row(name, "seeds", step_ms=[20])]
    assert goal_line([result(*rows)], figure)[1:3] == ["GPU", "not measured"]
    found = goal_line([result(*rows, platform="gpu")], figure)
    assert found[2:] == ["0.4", "at most 0.5", "yes"]


def test_facts_and_seconds_have_goals_as_well():
    name = "Depth of PreAct"
    rows = [
        row(name, "164", facts={"program_lines": 4000}),
        row(name, "1001", facts={"program_lines": 4100, "temporary_bytes": 100}),
        row(name, "1001-remat", facts={"temporary_bytes": 20}),
        row("Launch of PreAct-1001", "ours", facts={"train": 5000}, warm_cache_s=[9]),
    ]
    found = [result(*rows)]
    assert goal_line(found, "program size")[2:] == ["1.02", "at most 1.01", "**no**"]
    assert goal_line(found, "rematerialised")[2:] == [
        "0.2, ours, 1001 layers, rematerialised",
        "at most 0.25",
        "yes",
    ]
    assert goal_line(found, "warm cache")[2:] == ["9 s", "at most 8 s", "**no**"]
    assert "On 5,000 made-up images" in render.markdown(found)


def test_a_later_file_replaces_the_row_of_an_earlier_one():
    name = "Loop, digits"
    old = result(row(name, "ours", loop_ms=[12], bare_ms=[10]))
    new = result(row(name, "ours", loop_ms=[10.2], bare_ms=[10]))
    assert goal_line([old, new], "over bare step, digits")[2] == "1.02"


@pytest.mark.parametrize("less", ["batch", "steps", "turns"])
def test_a_goal_is_not_met_by_a_run_that_was_cut_short(less):
    name = "Loop, CIFAR-shaped"
    found = result(row(name, "ours", loop_ms=[10], bare_ms=[10]))
    figure = "over bare step, CIFAR-shaped"
    assert goal_line([found], figure)[2] == "1"
    found["cases"][name][less] = 1
    assert goal_line([found], figure)[2] == "not measured"


def test_the_table_of_a_case_is_sorted_and_keeps_what_is_missing():
    facts = {"peak_rss_bytes": 2_345_000_000, "compile_s": 4.321}
    rows = [
        row("ResNet-50", "ours", step_ms=[100, 80, 160], facts=facts),
        row("ResNet-50", "haiku", status="not installed: haiku"),
        row("ResNet-50", "torch", step_ms=[50, 40, 40]),
    ]
    found = table([result(*rows)], "ResNet-50, batch 8, float32")
    assert list(found) == ["", "---", "PyTorch, eager", "ours", "dm-haiku"]
    assert found[""][-2:] == ["compile, s", "peak resident, MB"]
    assert found["ours"] == ["100 (80 to 160)", "80", "1", "0", "4.32", "2,345"]
    assert found["PyTorch, eager"][:3] == ["40 (40 to 50)", "200", "2 (2 to 4)"]
    assert found["dm-haiku"][0] == "not installed: haiku"


def test_five_seeds_are_five_times_the_images():
    name = "Five seeds of ResNet-20"
    rows = [row(name, "ours", step_ms=[128]), row(name, "seeds", step_ms=[256])]
    found = table([result(*rows)], name)
    assert found["ours"][:3] == ["128", "1000", "1"]
    assert found["ours, 5 seeds"][:3] == ["256", "2500", "2.5"]


def test_the_share_of_the_peak_is_told_where_it_is_known():
    facts = {"peak_images_per_s": 25_600}
    rows = [
        row("ResNet-50", "ours", step_ms=[50], facts=facts),
        row("ResNet-50", "torch", step_ms=[100]),
    ]
    found = table([result(*rows, platform="gpu")], "ResNet-50, batch 256, bfloat16")
    assert found[""][:5] == ["step, ms", "images/s", "over ours", "GFLOP/s", "of peak"]
    assert found["ours"] == ["50", "5120", "1", "31", "20.0%"]
    assert found["PyTorch, eager"] == ["100", "2560", "0.5", "15", "10.0%"]


def test_versions_devices_and_the_command_are_told():
    text = render.markdown([result(), result(platform="gpu")])
    assert "## CPU: Abacus, 2 cores" in text
    assert "## GPU: Tesla" in text
    assert "Python 3.11.7, jax 0.10.2 (without torch); commit c0ffee" in text
    assert 'load 0.0 before; `python benchmarks/run.py "Loop, digits"`' in text


def test_a_case_that_failed_says_so():
    failed = row("Launch of PreAct-1001", "ours", status="ended with exit code -9")
    found = table([result(failed)], "Launch of PreAct-1001")
    assert found == {
        "": ["measured"],
        "---": ["---:"],
        "ours": ["ended with exit code -9"],
    }


def test_a_picture_needs_a_peer(tmp_path):
    alone = result(row("ResNet-20", "ours", step_ms=[100]))
    with pytest.raises(SystemExit, match="no peer was measured"):
        picture.draw([alone], tmp_path / "bars.png")


def test_files_become_a_page_and_a_picture(tmp_path, monkeypatch, capsys):
    rows = [
        row("ResNet-20", "ours", step_ms=[100, 90]),
        row("ResNet-20", "flax", step_ms=[150, 160]),
    ]
    good, foreign = tmp_path / "cpu.json", tmp_path / "loop.json"
    good.write_text(json.dumps(result(*rows)))
    foreign.write_text(json.dumps({"rows": [], "environment": {}}))
    figure = tmp_path / "bars.png"
    arguments = ["render.py", str(good), str(foreign), "--figure", str(figure)]
    monkeypatch.setattr(sys, "argv", arguments)
    render.main()
    out, err = capsys.readouterr()
    assert out == render.markdown([result(*rows)], figure="bars.png")
    assert f"{foreign}: not of run.py" in err
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.figure)
def test_every_goal_is_about_rows_that_are_measured(goal):
    for cells in goal.cells:
        case = cases.find(goal.device, cells.case)
        assert set(cells.ways) & set(case.ways)
        if len(cells.ways) == 1:
            assert cells.ways[0] in case.ways


def test_the_ways_of_every_case_are_known():
    for each in cases.CASES.values():
        assert len({case.name for case in each}) == len(each)
        for case in each:
            assert set(case.ways) <= set(cases.WAYS)


def test_a_turn_has_the_steps_of_a_call_of_our_loop():
    assert Devices.all().steps_per_call == cases.ONE_CALL["steps"]


WORKER = """
import json, sys, time
log, name, way, steps, batch = sys.argv[1:]
def write(record):
    with open(log, "a") as file:
        file.write(way + " ")
    print(json.dumps(record), flush=True)
if way == "keras":
    write({"status": "not installed: keras"})
    sys.exit()
if way == "torch":
    time.sleep(600)
if way == "haiku":
    sys.exit(3)
write({"params": 9 if way == "unrolled" or way == "flax" else 269_722})
for line in sys.stdin:
    write({"step_ms": 2 * int(steps)})
write({"peak_rss_bytes": int(batch)})
"""


@pytest.fixture
def measured(tmp_path):
    """measured(groups): (rows of ResNet-20 by a stand-in, ways in output order)."""

    def measure(groups, *, limit=60):
        log = tmp_path / "log"
        command = [sys.executable, "-c", WORKER, str(log)]
        case = dataclasses.replace(cases.find("cpu", "ResNet-20"), steps=3, turns=2)
        rows = processes.measured(case, groups, command=command, limit=limit)
        return rows, log.read_text().split() if log.exists() else []

    return measure


@pytest.mark.process
def test_processes_side_by_side_take_turns(measured):
    rows, order = measured([["ours", "unrolled"]])
    assert order == ["ours", "unrolled"] * 4
    assert rows[0] == {
        "case": "ResNet-20",
        "way": "ours",
        "status": "ok",
        "facts": {"params": 269_722, "peak_rss_bytes": 128},
        "samples": {"step_ms": [6, 6]},
    }


@pytest.mark.process
def test_processes_in_groups_follow_one_another(measured):
    _, order = measured([["ours"], ["unrolled"]])
    assert order == ["ours"] * 4 + ["unrolled"] * 4


@pytest.mark.process
def test_a_peer_that_fails_is_a_row_that_says_so(measured):
    rows, _ = measured([["keras", "haiku", "flax", "ours"]])
    assert [row["status"] for row in rows] == [
        "not installed: keras",
        "ended with exit code 3",
        "failed: has 9 parameters, not 269,722",
        "ok",
    ]
    assert rows[-1]["samples"] == {"step_ms": [6, 6]}


@pytest.mark.process
def test_a_process_that_is_late_is_ended(measured):
    rows, order = measured([["torch"]], limit=0.2)
    assert [row["status"] for row in rows] == ["timed out after 0.2 s"]
    assert order == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError("No", name="haiku"), "not installed: haiku"),
        (ConfigError("train.seeds: no such\nfield"), "not in the package: train.seeds"),
        (ValueError("left\nright"), "failed: ValueError: left"),
    ],
)
def test_a_worker_says_why_it_has_no_row(error, words):
    assert worker.reason(error).startswith(words)
    assert "\n" not in worker.reason(error)


def measured_alone(out, case, way, *, batch):
    """Run run.py for two turns of one step: (row, page)."""
    command = [sys.executable, run.__file__, case, "--ways", way, "--device", "cpu"]
    sizes = ["--steps", "1", "--turns", "2", "--batch", str(batch)]
    done = subprocess.run(
        [*command, *sizes, "--out", str(out)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(out.read_text())["rows"]
    assert found["status"] == "ok", done.stderr
    return found, done.stdout


@pytest.mark.process
def test_ours_is_measured_from_end_to_end(tmp_path):
    out = tmp_path / "new" / "cpu.json"
    found, page = measured_alone(out, "ResNet-20", "ours", batch=2)
    assert found["facts"]["params"] == 269_722
    assert len(found["samples"]["step_ms"]) == 2
    assert "### ResNet-20, batch 2, float32: 269,722 parameters" in page


@pytest.mark.process
def test_a_feed_is_measured_from_end_to_end(tmp_path):
    out = tmp_path / "feed.json"
    found, page = measured_alone(out, "Streaming", "threads", batch=2)
    assert min(found["samples"]["images_s"]) > 0
    assert len(found["samples"]["images_core_s"]) == 2
    assert "128 made-up photographs of 500x375 pixels" in page


PROGRAM = """HloModule jit_steps, is_scheduled=true

%fused_computation.7 (p0: f32[4]) -> f32[4] {
  %p0 = f32[4]{0} parameter(0)
  ROOT %convolution.2 = f32[4]{0} convolution(%p0, %p0), window={size=3}
}

%fused_computation.8 (p1: f32[4]) -> f32[4] {
  ROOT %reduce.1 = f32[4]{0} reduce(%p1), to_apply=%add
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %ynn_fusion.3 = f32[4]{0} fusion(%x), kind=kCustom, calls=%fused_computation.7
  %ynn_fusion.4 = f32[4]{0} fusion(%x), kind=kCustom, calls=%fused_computation.8
  %dot_general.1 = f32[4]{0} dot(%x, %x), metadata={op_name="dot"}
  ROOT %add.1 = f32[4]{0} add(%x, %x), metadata={op_name="convolution"}
}
"""


def test_products_are_found_in_a_program_fused_or_not():
    found = parts.products(PROGRAM)
    assert {"ynn_fusion.3", "dot_general.1"} <= found
    assert not found & {"ynn_fusion.4", "add.1", "reduce.1"}


def test_the_parts_of_a_step_are_those_of_its_operations(monkeypatch):
    monkeypatch.setenv(work.STARTED, "0")
    case = cases.find("cpu", "Parts of ResNet-20")
    assert case.kind == "parts" and case.net == cases.RESNET_20

    def step(carry, x):
        y = jnp.where(carry > 0, carry, x)
        return y @ y / 100, jnp.sort(y)

    x = jnp.ones((300, 300))
    made = parts.of_xla(
        jitted.training(jax.jit(step, donate_argnums=0), x + 0, x, params=1)
    )
    sample = made.turn(3)
    assert made.facts == {"params": 1}
    assert set(sample) == {"whole_ms", "product_ms", "rest_ms"}
    assert all(sample.values())


@trained
def test_the_plain_flax_network_has_the_published_parameters(case):
    if sum(case.net.units) > 100:
        pytest.skip("a loop over so many units takes long to trace")
    model = plain_flax.ResNet(case.net, case.dtype)
    image = jnp.zeros((1, *case.net.image))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == (
        case.net.params
    )


@trained
def test_the_pytorch_network_has_the_published_parameters(case):
    torch = pytest.importorskip("torch")
    from peers import pytorch

    with torch.device("meta"):
        assert pytorch.num_params(pytorch.ResNet(case.net)) == case.net.params


@trained
def test_our_rows_are_the_network_of_the_case(case):
    made = estimate.prepared(ours.config(case, cases.WAYS["ours"]))
    assert made.net.depths == case.net.units
    assert made.net.widths == case.net.widths
    assert made.net.num_classes == case.net.classes
    assert made.config.data.batch_size == case.batch
    assert ours.counts(made)["params"] == case.net.params


def test_the_committed_tables_are_what_was_measured():
    results = Path(__file__).parents[1] / "results"
    files = sorted((results / "benchmarks").glob("*.json"))
    measured = [json.loads(file.read_text()) for file in files]
    written = (results / "benchmarks.md").read_text()
    assert written == render.markdown(measured, figure="benchmarks.png")
    assert measured
