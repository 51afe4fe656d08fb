"""Comparison of configs with papers: a verdict for every quantity."""

import collections
import dataclasses
import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from resnet_jax import papers
from resnet_jax.analysis.audit_values import UNKNOWN, ConfigValues, Resolved, Values
from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.papers.facts import Fact, Facts
from resnet_jax.paths import Value

Verdict = Literal["equal", "deviates", "WRONG", "unsettled", "shown"]

# COUNTS follow from the quantities COUNTED of a net.
COUNTS = ("weighted layers", "parameters", "multiply-adds")
COUNTED = (
    "form", "depth", "units a stage", "width", "classes", "branch", "order", "shortcut",
    "stride of a bottleneck", "norm on projections", "join", "gate",
    "reduction of the gate", "rectifier", "BatchNorm", "groups", "width of a group",
    "kernels", "variant", "size", "growth rate", "compression", "connectivity",
    "levels of the pyramid", "operator", "rule of binary kernels",
    "ratio of the ghosts", "kernel of the ghosts",
)  # fmt: skip
# Shown even if nothing is published to compare with.
SHOWN = (
    *COUNTS, "in convolutions", "in norms", "in rectifiers", "in gates",
    "in the last layer", "batch", "iterations", "drops at", "decayed parameters",
    "augmentation", "initialisation", "evaluation", "departures",
)  # fmt: skip
IN_ITERATIONS = ("drops at", "iterations", "warm-up")
NO_FACT = Fact(value=None, source="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """Comparison of one quantity: its value in paper and config, and a verdict."""

    quantity: str
    field: str
    paper: str
    config: str
    verdict: Verdict
    source: str
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audited:
    """A row of an experiment with a line per quantity."""

    name: str
    network: str | None
    recipe: str | None
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        network = self.network or "no published net"
        return f"{self.name}: {network}; {self.recipe or 'no published recipe'}"


def audited(
    experiment: ExperimentFile, only: str | None, fields: Sequence[str]
) -> tuple[Audited, ...]:
    """Audit the rows of an experiment, or only one, with changed fields."""
    rows = [only] if only or not experiment.rows else list(experiment.rows)
    return tuple(_audited(experiment, row, fields) for row in rows)


def _audited(
    experiment: ExperimentFile, name: str | None, fields: Sequence[str]
) -> Audited:
    row = ConfigValues(experiment.config(name, fields))
    values = row.values()
    usual = ConfigValues(experiment.config(name)).values() if fields else values
    name = name or "default"
    net = _network(experiment, name)
    network = dict(papers.network(net)) if net else {}
    key = experiment.recipe
    key = key.get(name) if isinstance(key, Mapping) else key
    training = papers.recipe(key) if key else {}
    if network or training:
        network |= papers.RECTIFIERS.get(row.config.model.act.name, {})
    reasons = {
        quantity: _reason(experiment, value.field, name)
        if usual.get(quantity) == value
        else ""
        for quantity, value in values.items()
    }
    lines = _lines(values, network, training, reasons, epoch=row.steps_per_epoch)
    lines = (*lines, *_seeds(experiment, name))
    return Audited(name=name, network=net, recipe=key, lines=lines)


def _network(experiment: ExperimentFile, row: str) -> str | None:
    """Key of the published net that a row claims to be."""
    if row in experiment.network:
        return experiment.network[row]
    cell = experiment.published.get(row)
    return cell.key if cell and cell.key in papers.NETWORKS else None


def _reason(experiment: ExperimentFile, field: str, row: str) -> str:
    """The reason in DEVIATIONS for a field in a row, or an empty text."""
    entry = experiment.deviations.get(field, "")
    if isinstance(entry, str):
        return entry
    return next((r for p, r in entry.items() if fnmatch.fnmatchcase(row, p)), "")


def _lines(
    values: Values,
    network: Facts,
    training: Facts,
    reasons: Mapping[str, str],
    *,
    epoch: float | None,
) -> Iterator[Line]:
    """Compare in the order of the values; `reasons` by quantity, `epoch` in steps.

    Facts about quantities that the config's net does not have are skipped.
    """
    # Fields from which the counts differ: True if wrong, False if with a reason.
    differs = {
        values[quantity].field: fact.settled and not reasons[quantity]
        for quantity, fact in network.items()
        if quantity in COUNTED
        and quantity in values
        and fact.value is not None
        and not same(fact, values[quantity].value, epoch=epoch)
    }
    facts = {**network, **training}
    for quantity, value in values.items():
        fact = facts.get(quantity)
        if fact is None:
            if quantity in SHOWN:
                yield _line(quantity, value, NO_FACT, "shown", "", epoch)
            continue
        reason = reasons[quantity]
        verdict = judged(fact, value.value, reason=reason, epoch=epoch)
        if verdict == "WRONG" and quantity in COUNTS and differs:
            reason = f"follows from {', '.join(differs)}"
            verdict = "WRONG" if any(differs.values()) else "deviates"
        shown_reason = reason if verdict != "equal" else ""
        yield _line(quantity, value, fact, verdict, shown_reason, epoch)


def judged(fact: Fact, value: Value, *, reason: str, epoch: float | None) -> Verdict:
    """Verdict on a value; `epoch` in iterations, None for data of unknown size."""
    unknown = value == UNKNOWN or (fact.unit == "epochs" and epoch is None)
    if unknown or not fact.settled:
        return "unsettled"
    if same(fact, value, epoch=epoch):
        return "equal"
    return "deviates" if reason else "WRONG"


def same(fact: Fact, value: Value, *, epoch: float | None) -> bool:
    """Compare to the precision of the paper's unit; `epoch` in iterations."""
    if fact.unit == "G":
        return round(value / 1e9, 3) == fact.value
    if fact.unit == "epochs":
        paper, ours = _tuple(fact.value), _tuple(value)
        close = (abs(p * epoch - v) <= 1 for p, v in zip(paper, ours, strict=False))
        return len(paper) == len(ours) and all(close)
    if isinstance(value, float) and isinstance(fact.value, int | float):
        return math.isclose(value, fact.value)
    return value == fact.value


def _tuple(value: Value) -> tuple[Value, ...]:
    return value if isinstance(value, tuple) else (value,)


def _line(
    quantity: str,
    value: Resolved,
    fact: Fact,
    verdict: Verdict,
    reason: str,
    epoch: float | None,
) -> Line:
    source = fact.source
    if fact.certainty not in ("text", "silent"):
        source += f" [{fact.certainty}]"
    ours = shown(value.value)
    if quantity in IN_ITERATIONS and value.value and epoch:
        epochs = ", ".join(f"{v / epoch:.1f}" for v in _tuple(value.value))
        ours += f" (epoch {epochs})"
    theirs = "-" if fact.value is None else shown(fact.value)
    theirs += f" {fact.unit}" if fact.unit else ""
    return Line(
        quantity=quantity, field=value.field, paper=theirs, config=ours,
        verdict=verdict, source=source, reason=reason,
    )  # fmt: skip


def shown(value: Value) -> str:
    """Text of a value: numbers with commas, tuples with their members."""
    if isinstance(value, tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _seeds(experiment: ExperimentFile, row: str) -> Iterator[Line]:
    """Compare the number of seeds with the number of the paper's runs."""
    cell = experiment.published.get(row)
    if cell is None:
        return
    count, reason = len(experiment.seeds), _reason(experiment, "SEEDS", row)
    enough = count >= cell.runs
    yield Line(
        quantity="seeds",
        field="SEEDS",
        paper=f"{cell.statistic} of {cell.runs}" if cell.runs > 1 else "one run",
        config=str(count),
        verdict="equal" if enough else "deviates" if reason else "WRONG",
        source=cell.key,
        reason="" if enough else reason,
    )


def wrong(rows: Sequence[Audited]) -> list[str]:
    """Messages on wrong fields with their rows, without counts that follow."""
    found = collections.defaultdict(list)
    for row in rows:
        for line in row.lines:
            if line.verdict == "WRONG" and not line.reason:
                found[line].append(row.name)
    return [
        ": ".join(dict.fromkeys((line.field, line.quantity, line.config)))
        + f"; the paper has {line.paper} ({line.source}); correct it in "
        f"{', '.join(names)}, or say why in DEVIATIONS"
        for line, names in found.items()
    ]


def stale(experiment: ExperimentFile, rows: Sequence[Audited]) -> list[str]:
    """Messages on reasons in DEVIATIONS that no row needs."""
    path, reasons = experiment.path, experiment.deviations
    needed = {(line.field, r.name) for r in rows for line in r.lines if line.reason}
    problems = []
    for field, entry in reasons.items():
        for pattern in ("*",) if isinstance(entry, str) else entry:
            names = fnmatch.filter([row.name for row in rows], pattern)
            if not any((field, name) in needed for name in names):
                place = f"DEVIATIONS[{field!r}]"
                place += "" if isinstance(entry, str) else f"[{pattern!r}]"
                problems.append(f"{path}: {place}: deviates from nothing; remove it")
    return problems
