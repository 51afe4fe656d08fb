"""Report as cells of text, before any markup."""

from collections.abc import Callable, Sequence
from typing import Any

from resnet_jax.papers import Value
from resnet_jax.report.line import Line, published_error
from resnet_jax.report.pairs import Pair
from resnet_jax.report.render import Grid
from resnet_jax.report.slopes_table import LayerSlopes, RowSlopes
from resnet_jax.report.statistics import AsPaper, Summary
from resnet_jax.report.table import Report

NONE = "\N{EN DASH}"


def table(report: Report) -> Grid:
    """Grid of the paper's numbers beside ours; empty columns are left out."""
    columns = {
        "Row": lambda line: line.row,
        "Paper": lambda line: published(line.value),
        "Ours, mean ± std (n)": lambda line: spread(line.top1),
        "Median": lambda line: error(line.top1 and line.top1.median),
        "Best": lambda line: error(line.top1 and line.top1.best),
        "As the paper": lambda line: counterpart(line.ours),
        "Difference": difference,
        "At lowest val": lambda line: spread(line.selected),
        "Precise BatchNorm": lambda line: spread(line.precise),
        "As cut": lambda line: spread(line.as_cut),
        "Top-5, paper": lambda line: error(line.value and line.value.top5_err),
        "Top-5, ours": _top5(report),
        "Parameters": lambda line: f"{line.parameters:,}" if line.parameters else NONE,
        "Multiply-adds": lambda line: millions(line.multiply_adds),
        "Iterations": iterations,
        "Step": lambda line: milliseconds(line.step_s),
        f"Step over {report.against}": _relative(report),
        "Wall time": lambda line: duration(line.wall_s),
        "Marks": lambda line: "; ".join(line.marks) or NONE,
    }
    return _filled(columns, report.lines)


def differences(pairs: Sequence[Pair]) -> Grid:
    """Grid of paired differences between rows, with the verdict on their order."""
    columns = {
        "Row minus other": lambda pair: f"{pair.row} minus {pair.other}",
        "Mean difference": lambda pair: signed(pair.mean),
        "95 % interval": interval,
        "Seeds": lambda pair: str(len(pair.seeds)),
        "p (Holm)": lambda pair: probability(pair.p),
        "Order supported": lambda pair: pair.verdict,
    }
    return _filled(columns, pairs)


def slopes(row: RowSlopes) -> Grid:
    """Grid of a row's learned slopes, one line per layer, without empty columns."""
    columns = {
        "Layer": lambda layer: layer.layer,
        "Slopes": lambda layer: str(layer.number),
        "Paper": lambda layer: slope(layer.published),
        "Ours, mean ± std (n)": _over_seeds,
        "Std of channels": lambda layer: _of_channels(layer, layer.std),
        "Lowest": lambda layer: _of_channels(layer, layer.low),
        "Highest": lambda layer: _of_channels(layer, layer.high),
    }
    return _filled(columns, row.layers)


def slope(number: float | None) -> str:
    """Three decimals, as He et al. 2015 print them."""
    return NONE if number is None else f"{number:.3f}"


def _over_seeds(layer: LayerSlopes) -> str:
    std = "" if layer.over_seeds is None else f" ± {slope(layer.over_seeds)}"
    return f"{slope(layer.mean)}{std} ({len(layer.means)})"


def _of_channels(layer: LayerSlopes, number: float) -> str:
    return slope(number) if layer.number > 1 else NONE


def published(value: Value | None) -> str:
    """The paper's number with its statistic: `6.43 (best of 5; 6.61 ± 0.16)`."""
    if value is None:
        return NONE
    if value.above is not None:
        return f"fail, > {value.above:g} ({_count(value)})"
    what = "top-5, " if value.top1_err is None else ""
    spread = "" if value.mean is None else f"; {value.mean:.2f} ± {value.std:.2f}"
    return f"{error(published_error(value))} ({what}{_count(value)}{spread})"


def _count(value: Value) -> str:
    single = value.statistic == "single"
    return "single run" if single else f"{value.statistic} of {value.runs}"


def counterpart(ours: AsPaper | None) -> str:
    """Our value of the paper's statistic: `6.52 (best of 5)`."""
    return f"{ours.value:.2f} ({ours.statistic} of {ours.n})" if ours else NONE


def difference(line: Line) -> str:
    """Ours minus the paper's; beside a failure in the paper, `fails too` or not."""
    if line.comparable and line.value and line.value.above is not None and line.ours:
        fails = line.ours.value > line.value.above
        return "fails too" if fails else "does not fail"
    return NONE if line.difference is None else signed(line.difference)


def spread(summary: Summary | None) -> str:
    """Mean ± std (n), without std for one seed."""
    if summary is None:
        return NONE
    std = "" if summary.std is None else f" ± {summary.std:.2f}"
    return f"{summary.mean:.2f}{std} ({summary.n})"


def error(percent: float | None) -> str:
    return NONE if percent is None else f"{percent:.2f}"


def signed(percent: float) -> str:
    """Difference with its sign; no sign if it rounds to zero."""
    text = f"{percent:+.2f}"
    return text[1:] if text in ("+0.00", "-0.00") else text


def interval(pair: Pair) -> str:
    if pair.low is None or pair.high is None:
        return NONE
    return f"{signed(pair.low)} to {signed(pair.high)}"


def probability(p: float | None) -> str:
    """Three decimals, `< 0.001` below them."""
    if p is None:
        return NONE
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def iterations(line: Line) -> str:
    """Iterations made of those in the schedule: `200 of 449`."""
    if not line.steps:
        return NONE
    low, high = line.steps[0], line.steps[-1]
    made = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{made} of {line.total_steps:,}" if line.total_steps else made


def duration(seconds: float | None) -> str:
    """Wall time in seconds, minutes or hours."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"


def millions(count: int | None) -> str:
    return NONE if count is None else f"{count / 1e6:,.2f} M"


def milliseconds(seconds: float | None) -> str:
    return NONE if seconds is None else f"{seconds * 1e3:.1f} ms"


def _relative(report: Report) -> Callable[[Line], str]:
    """Step time as a multiple of that of the row `report.against`."""
    usual = {line.row: line.step_s for line in report.lines}[report.against]
    return lambda line: f"{line.step_s / usual:.2f}" if usual and line.step_s else NONE


def _top5(report: Report) -> Callable[[Line], str]:
    """Our top-5 errors, if the paper prints any."""
    printed = any(line.value and line.value.top5_err for line in report.lines)
    return lambda line: spread(line.top5) if printed else NONE


def _filled(columns: dict[str, Callable], lines: Sequence[Any]) -> Grid:
    """Grid of columns, each a function of a line; columns of dashes are left out."""
    texts = {name: [cell(line) for line in lines] for name, cell in columns.items()}
    kept = [name for name, column in texts.items() if set(column) != {NONE}]
    rows = zip(*(texts[name] for name in kept), strict=True)
    return Grid(tuple(kept), tuple(rows))
