"""Facts of papers against readings of configs: a verdict for every quantity."""

import collections
import dataclasses
import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from resnet_jax.analysis.audit_values import UNKNOWN, Resolved, Row, Values
from resnet_jax.config.experiment_file import ExperimentFile
from resnet_jax.papers import networks, recipes
from resnet_jax.papers.facts import Fact, Facts
from resnet_jax.paths import Tree, Value

Verdict = Literal["equal", "deviates", "WRONG", "unsettled", "shown"]

# Counts follow from the rest of a net, and from these parts of it.
COUNTS = ("weighted layers", "parameters", "multiply-adds")
COUNTED = (
    "form", "depth", "units a stage", "width", "classes", "branch", "order", "shortcut",
    "stride of a bottleneck", "norm on projections", "join", "gate",
    "reduction of the gate", "rectifier", "BatchNorm", "groups", "width of a group",
    "kernels", "variant", "size", "growth rate", "compression", "links",
    "levels of the pyramid", "operator", "ratio of the ghosts",
    "kernel of the ghosts",
)  # fmt: skip
# Given whether or not something is published to compare with.
SHOWN = (
    *COUNTS, "in convolutions", "in norms", "in rectifiers", "in gates",
    "in the last layer", "batch", "iterations", "drops at", "decayed parameters",
    "augmentation", "initialisation", "evaluation",
)  # fmt: skip
IN_ITERATIONS = ("drops at", "iterations", "warm-up")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One quantity: what the paper has, what the config has, and how they compare."""

    quantity: str
    field: str
    paper: str
    config: str
    verdict: Verdict
    source: str
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audited:
    """A row with all of its lines."""

    name: str
    network: str | None
    recipe: str | None
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        network = self.network or "no published net"
        return f"{self.name}: {network}; {self.recipe or 'no published recipe'}"

    def to_dict(self) -> Tree:
        return dataclasses.asdict(self)


def audited(
    experiment: ExperimentFile, only: str | None, fields: Sequence[str]
) -> tuple[Audited, ...]:
    """Every row of an experiment, or only one, with changed fields."""
    rows = [only] if only or not experiment.rows else list(experiment.rows)
    return tuple(_audited(experiment, row, fields) for row in rows)


def _audited(
    experiment: ExperimentFile, name: str | None, fields: Sequence[str]
) -> Audited:
    row = Row(experiment.config(name, fields))
    values = row.values()
    usual = Row(experiment.config(name)).values() if fields else values
    name = name or "default"
    net, network = _network(experiment, name)
    key = experiment.recipe
    key = key.get(name) if isinstance(key, Mapping) else key
    network = dict(network or {})
    training = recipes.recipe(key) if key else {}
    if network or training:
        network |= networks.RECTIFIERS.get(row.config.model.act.name, {})
    reasons = {
        quantity: _reason(experiment, value.field, name)
        if usual.get(quantity) == value
        else ""
        for quantity, value in values.items()
    }
    lines = _lines(values, network, training, reasons, epoch=row.steps_per_epoch)
    lines = (*lines, *_seeds(experiment, name))
    return Audited(name=name, network=net, recipe=key, lines=lines)


def _network(experiment: ExperimentFile, row: str) -> tuple[str | None, Facts | None]:
    """Key and facts of the net that a row claims to be."""
    if row in experiment.network:
        key = experiment.network[row]
        return key, networks.network(key)
    cell = experiment.published.get(row)
    if cell is None:
        return None, None
    known = cell.key in networks.NETWORKS
    return (cell.key, networks.network(cell.key)) if known else (None, None)


def _reason(experiment: ExperimentFile, field: str, row: str) -> str:
    """The reason in DEVIATIONS for a field in a row."""
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
    """Lines in the order of the values; `reasons` by quantity, `epoch` in steps.

    What only nets of another form have is not compared: their form is.
    """
    # Fields that make a net another one, and whether that is wrong.
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
                yield _line(quantity, value, None, "shown", "", epoch)
            continue
        reason = reasons[quantity]
        verdict = judged(fact, value.value, reason=reason, epoch=epoch)
        if verdict == "WRONG" and quantity in COUNTS and differs:
            reason = f"follows from {', '.join(differs)}"
            verdict = "WRONG" if any(differs.values()) else "deviates"
        kept = reason if verdict != "equal" else ""
        yield _line(quantity, value, fact, verdict, kept, epoch)


def judged(fact: Fact, value: Value, *, reason: str, epoch: float | None) -> Verdict:
    """`epoch` is in iterations, None where the size of the data is not known."""
    unknown = value == UNKNOWN or (fact.unit == "epochs" and epoch is None)
    if unknown or not fact.settled:
        return "unsettled"
    if same(fact, value, epoch=epoch):
        return "equal"
    return "deviates" if reason else "WRONG"


def same(fact: Fact, value: Value, *, epoch: float | None) -> bool:
    """Equal, up to what a paper's unit leaves open; `epoch` is in iterations."""
    if fact.unit == "G":
        return round(value / 1e9, 3) == fact.value
    if fact.unit == "epochs":
        paper, ours = _several(fact.value), _several(value)
        if len(paper) != len(ours):
            return False
        pairs = zip(paper, ours, strict=True)
        return all(abs(p * epoch - v) <= 1 for p, v in pairs)
    if isinstance(value, float) and isinstance(fact.value, int | float):
        return math.isclose(value, fact.value)
    return value == fact.value


def _several(value: Value) -> tuple[Value, ...]:
    return value if isinstance(value, tuple) else (value,)


def _line(
    quantity: str,
    value: Resolved,
    fact: Fact | None,
    verdict: Verdict,
    reason: str,
    epoch: float | None,
) -> Line:
    source = "" if fact is None else fact.source
    if fact is not None and fact.certainty not in ("text", "silent"):
        source += f" [{fact.certainty}]"
    ours = shown(value.value)
    if quantity in IN_ITERATIONS and value.value and epoch:
        epochs = ", ".join(f"{v / epoch:.1f}" for v in _several(value.value))
        ours += f" (epoch {epochs})"
    theirs = "-" if fact is None or fact.value is None else shown(fact.value)
    if fact is not None and fact.unit:
        theirs += f" {fact.unit}"
    return Line(
        quantity=quantity, field=value.field, paper=theirs, config=ours,
        verdict=verdict, source=source, reason=reason,
    )  # fmt: skip


def shown(value: Value) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _seeds(experiment: ExperimentFile, row: str) -> Iterator[Line]:
    """Compare the number of seeds with that of the paper's runs."""
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
    """A line for every field that is wrong, with the rows in which it is.

    Counts that follow from such a field are not listed.
    """
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
    """A line for every reason in DEVIATIONS that no row needs."""
    path, reasons = experiment.path, experiment.deviations
    needed = {
        (line.field, row.name) for row in rows for line in row.lines if line.reason
    }
    problems = []
    for field, entry in reasons.items():
        for pattern in ("*",) if isinstance(entry, str) else entry:
            names = fnmatch.filter([row.name for row in rows], pattern)
            if not any((field, name) in needed for name in names):
                place = f"DEVIATIONS[{field!r}]"
                place += "" if isinstance(entry, str) else f"[{pattern!r}]"
                problems.append(f"{path}: {place}: deviates from nothing; remove it")
    return problems
