"""Figures of errors: what is drawn of the logs, and that it can be told apart."""

import itertools
import json
import sys

import pytest
from test_report import (
    edit_config,
    log_row,
    made,
    refused,
    seed,
    write_log,
)

pytest.importorskip("matplotlib")

from resnet_jax.config.experiment_file import load
from resnet_jax.report import figure, plots
from resnet_jax.report.curves import Curve, curve
from resnet_jax.report.table import report

STARTS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


def report_of(place):
    return report(load(place / "toy.py"), place / "runs")


@pytest.fixture
def drawn(place, monkeypatch):
    """drawn(axis) -> the matplotlib figure of the experiment."""

    def drawing(axis="iterations"):
        kept = []
        monkeypatch.setattr(plots, "save", lambda made, *_, **__: kept.append(made))
        made = report_of(place)
        plots.draw(made, load(place / "toy.py"), place / "a.png", axis=axis)
        return kept[0]

    return drawing


def curves(axes):
    """The test curves by name."""
    return {x.get_label(): x for x in axes.lines if not x.get_label().startswith("_")}


@pytest.mark.parametrize("axis", ["iterations", "depth"])
@pytest.mark.parametrize("suffix", STARTS)
def test_figures_are_written_in_the_format_of_their_suffix_and_repeat(
    place, capsys, axis, suffix
):
    pictures = []
    for number in (0, 1):
        path = place / f"{number}{suffix}"
        made(place, capsys, "--figure", str(path), "--axis", axis)
        pictures.append(path.read_bytes())
    assert pictures[0].startswith(STARTS[suffix]) and pictures[0] == pictures[1]


def test_a_figure_that_cannot_be_written(place, capsys):
    where = str(place / "none" / "a.png")
    assert refused(place, capsys, "--figure", where)[0] == 6


@pytest.mark.parametrize("name", ["a.gif", "a.jpg", "a"])
def test_another_format_is_refused_ahead_of_the_work(place, capsys, name):
    (place / "toy.py").write_text("no program")
    code, line = refused(place, capsys, "--figure", str(place / name))
    assert code == 2 and "use one of .png, .pdf, .svg" in line


def test_a_figure_without_matplotlib_names_the_extra(place, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, line = refused(place, capsys, "--figure", str(place / "a.png"))
    assert code == 2 and "resnet_jax[figures]" in line


# ---------------------------------------------------------------- curves


def test_a_curve_is_the_mean_over_the_seeds(place):
    line = report_of(place).lines[1]
    assert curve(line, "test") == ([10.0, 20.0], [20.0, 7.5])
    assert curve(line, "val") == ([], [])


def test_a_long_curve_is_thinned_to_its_stretches(place):
    rows = [log_row("train", step, step / 100) for step in range(1, 5001)]
    for number in (0, 1):
        write_log(seed(place, "A", number), rows)
    steps, errors = curve(report_of(place).lines[1], "train")
    assert 200 <= len(steps) <= 201 and steps[-1] == 5000.0 and errors[-1] == 50.0
    assert all(abs(e - s / 100) < 1e-9 for s, e in zip(steps, errors, strict=True))


def test_a_rest_joins_the_last_interval(place):
    """Older logs have a last row of one step; of its examples too few for a point."""
    rows = [
        log_row(split, step, error, n=n)
        for step, error, n in ((8, 50.0, 96), (16, 20.0, 96), (17, 80.0, 12))
        for split in ("train", "test")
    ]
    for number in (0, 1):
        write_log(seed(place, "A", number), rows)
    line = report_of(place).lines[1]
    assert curve(line, "train").steps == curve(line, "test").steps == [8.0, 17.0]
    assert curve(line, "train").errors[-1] == pytest.approx((20 * 96 + 80 * 12) / 108)
    assert curve(line, "test").errors[-1] == 80.0


def test_only_what_counts_is_on_a_curve(place):
    rows = [
        log_row("test", 10, 20.0),
        log_row("test", 20, 7.0),
        log_row("test", 20, 1.0, stats="precise"),
        log_row("test", 20, 2.0, protocol="10crop"),
    ]
    for number in (0, 1):
        write_log(seed(place, "A", number), rows)
    assert curve(report_of(place).lines[1], "test").errors == [20.0, 7.0]


# ---------------------------------------------------------------- what is drawn


def test_styles_are_told_apart():
    """Of 70 rows no two have one colour and marker; neighbours differ in both."""
    styles = [figure.style(number) for number in range(70)]
    assert len({(style.colour, style.marker) for style in styles}) == 70
    for one, other in itertools.pairwise(styles):
        assert one.colour != other.colour and one.marker != other.marker
    assert {style.dashes for style in styles[:10]} == {"-"}
    assert len({style.dashes for style in styles[:40]}) == 4


def test_markers_are_few_and_at_the_end():
    for count in (1, 2, 7, 8, 9, 100, 201):
        start, stride = figure.markevery(count)
        places = range(count)[start::stride]
        assert places[-1] == count - 1 and 1 <= len(places) <= 17


def test_a_run_scored_once_is_a_point(place, drawn):
    for number in (0, 1):
        write_log(seed(place, "A", number), [log_row("test", 20, 7.5)])
    (axes,) = drawn().axes
    line = curves(axes)["A (2)"]
    assert line.get_xdata().tolist() == [20.0]
    assert line.get_marker() == "s" and line.get_markevery() == (0, 1)
    low, high = axes.get_ylim()
    assert low < 7.5 < high


def test_the_legend_is_beside_the_axes_in_the_order_of_the_ends(drawn):
    made = drawn()
    made.draw_without_rendering()
    (legend,), (axes,) = made.legends, made.axes
    assert legend.get_window_extent().x0 >= axes.get_window_extent().x1
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["plain (2)", "A (2)", "B (2)", "train", "test"]


def test_sixty_rows_fit(place, drawn):
    """The legend is inside the figure; the curves are of the test errors alone."""
    text = (place / "toy.py").read_text()
    rows = ", ".join(f'"row{i}": {{"optim.weight_decay": {i}.0}}' for i in range(60))
    start, end = text.index("ROWS"), text.index("SEEDS")
    text = f"{text[:start]}ROWS = {{{rows}}}\n{text[end:]}"
    (place / "toy.py").write_text(text.replace("PAPER = {", "NONE = {"))
    for i in range(60):
        folder = seed(place, f"row{i}", 0)
        folder.mkdir(parents=True)
        source = seed(place, "A", 0)
        for name in ("config.json", "DONE"):
            (folder / name).write_text((source / name).read_text())
        write_log(folder, [log_row("train", 20, 5.0), log_row("test", 20, 1.0 + i)])
    made = drawn()
    made.draw_without_rendering()
    (legend,), (axes,) = made.legends, made.axes
    box, whole = legend.get_window_extent(), made.bbox
    assert len(legend.get_texts()) == 60 and len(axes.lines) == 60
    assert box.y0 >= 0 and box.y1 <= whole.height and box.x1 <= whole.width
    assert box.x0 >= axes.get_window_extent().x1
    assert axes.get_ylabel() == "test error (%)"


def limits(*errors):
    axes = figure.new_figure().add_subplot()
    axes.plot(errors, errors)
    figure.fit_errors(axes, errors)
    return axes.get_yscale(), *axes.get_ylim()


def test_the_error_axis_shows_what_differs():
    scale, low, high = limits(23.0, 24.0, 25.0)
    assert scale == "linear" and 22 < low < 23 and 25 < high < 26
    scale, low, high = limits(0.5, 3.0, 64.0)
    assert scale == "log" and 0.3 < low < 0.5 and 64 < high < 100
    scale, low, high = limits(0.0, 90.0)  # no error at all has no logarithm
    assert low < 90 <= high <= 100
    assert limits(7.5)[0] == "linear" and limits(7.5)[1] < 7.5 < limits(7.5)[2]
    assert limits(0.0)[0] == "linear"


def test_memorised_images_do_not_stretch_the_axis(place, drawn):
    """Train errors far below all test errors are off it."""
    for row in ("plain", "A", "B"):
        for number in (0, 1):
            rows = [log_row("train", 20, 0.001), log_row("test", 20, 7.0 + number)]
            write_log(seed(place, row, number), rows)
    (axes,) = drawn().axes
    assert axes.get_ylim()[0] > 1


def test_error_against_depth_has_a_line_a_family_and_the_papers_points(place, drawn):
    for number in (0, 1):
        edit_config(seed(place, "B", number), "model", depth=20)
    text = (place / "toy.py").read_text()
    deeper = '"B": {"model.depth": 20}'
    (place / "toy.py").write_text(
        text.replace('"B": {"model.unit.shortcut": "B"}', deeper)
    )
    (axes,) = drawn("depth").axes
    assert set(curves(axes)) == {"model.name=plain", "toy"}
    assert curves(axes)["toy"].get_xdata().tolist() == [8, 20]
    hollow = [x for x in axes.lines if x.get_markerfacecolor() == "none"]
    assert sorted(float(x.get_ydata()[0]) for x in hollow) == [6.43, 28.54]


def test_error_against_depth_has_bars_of_a_standard_deviation(place, drawn):
    """Mean 7.5 of 7.25 and 7.75: 0.35 to each side, with caps 6 points wide."""
    (axes,) = drawn("depth").axes
    (means,) = curves(axes)["toy"].get_ydata()
    (bar,) = axes.containers[1].lines[2]
    ((_, low), (_, high)) = bar.get_segments()[0]
    assert (means, low, high) == pytest.approx(
        (7.5, 7.5 - 0.125**0.5, 7.5 + 0.125**0.5)
    )
    lower, upper = axes.containers[1].lines[1]
    assert (lower.get_ydata()[0], upper.get_ydata()[0]) == pytest.approx((low, high))
    assert lower.get_markersize() == upper.get_markersize() == 6


def test_a_row_of_several_depths_is_not_drawn_against_depth(place, drawn):
    edit_config(seed(place, "plain", 1), "model", depth=14)
    (axes,) = drawn("depth").axes
    assert "model.name=plain" not in curves(axes) and "toy" in curves(axes)


def test_the_axes_start_at_zero_iterations_and_are_fitted_to_late_errors(drawn):
    (axes,) = drawn().axes
    assert axes.get_xlim()[0] == 0
    whole = Curve([1.0, 2.0, 3.0, 6.0], [90.0, 50.0, 20.0, 10.0])
    short = Curve([1.0, 2.0], [80.0, 70.0])
    assert plots._late_errors([whole, short]) == [50.0, 20.0, 10.0, 70.0]
    assert plots._late_errors([]) == []


def test_a_failed_row_is_named_so(place, drawn):
    for number in (0, 1):
        (seed(place, "A", number) / "DONE").unlink()
        (seed(place, "A", number) / "FAILED").write_text("diverged: step 3")
        (seed(place, "B", number) / "DONE").unlink()
    names = [text.get_text() for text in drawn().legends[0].get_texts()]
    assert "A (failed)" in names and "B (unfinished)" in names


def test_slopes_are_named_by_their_layers(place, monkeypatch):
    from resnet_jax.report import slopes_figure
    from resnet_jax.report.slopes_table import slopes

    def layer(name, mean):
        numbers = {"mean": mean, "std": 0.1, "min": 0.0, "max": 1.0}
        return {"layer": name, "number": 4} | numbers

    nets = {"A": ["act_stem", "stage1/first/act_1"], "B": ["act_stem"]}
    for row, names in nets.items():
        layers = [layer(name, 0.25 + i) for i, name in enumerate(names)]
        content = {"step": 20, "layers": layers}
        (seed(place, row, 0) / "slopes.json").write_text(json.dumps(content))
    kept = []
    monkeypatch.setattr(slopes_figure, "save", lambda made, *_, **__: kept.append(made))
    slopes_figure.draw_slopes(slopes(report_of(place)), place / "a.png")
    upper, lower = kept[0].axes
    ticks = [tick.get_text() for tick in upper.get_yticklabels()]
    assert ticks == nets["A"] and upper.lines[0].get_xdata().tolist() == [0.25, 1.25]
    assert [tick.get_text() for tick in lower.get_yticklabels()] == nets["B"]
    assert upper.get_ylim()[0] > upper.get_ylim()[1]  # the first layer is on top
