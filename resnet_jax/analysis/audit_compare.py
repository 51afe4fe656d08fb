"""Facts of papers against readings of configs: a verdict for every quantity."""

import collections
import dataclasses
import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from resnet_jax import cli
from resnet_jax import papers as paper
from resnet_jax.analysis.audit_values import UNKNOWN, Reading, Readings, Row
from resnet_jax.errors import ConfigError
from resnet_jax.papers import networks, recipes
from resnet_jax.papers.facts import Fact, Facts
from resnet_jax.paths import did_you_mean

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

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def audited(reference: str, fields: Sequence[str]) -> list[Audited]:
    """Every row of FILE, or that of FILE:ROW, with changed fields."""
    path, _, only = reference.partition(":")
    module = cli.definitions(path)
    check_names(path, module)
    if only or not module.get("ROWS"):
        return [_audited(module, reference, only or "default", fields)]
    return [_audited(module, f"{path}:{row}", row, fields) for row in module["ROWS"]]


def check_names(path: str, module: Mapping[str, Any]) -> None:
    """ConfigError for a row that is spoken of and does not exist."""
    rows = list(module.get("ROWS", ()))
    problems = []
    for name in ("PAPER", "NETWORK", "RECIPE"):
        keys = module.get(name, {})
        for row in keys if isinstance(keys, Mapping) else ():
            if row not in rows:
                near = did_you_mean(str(row), rows)
                problems.append(f"{path}: {name}[{row!r}]: no such row{near}")
    if problems:
        raise ConfigError("\n".join(problems))


def _audited(
    module: Mapping[str, Any], reference: str, name: str, fields: Sequence[str]
) -> Audited:
    row = Row(cli.changed(reference, fields))
    readings = row.readings()
    usual = Row(cli.changed(reference, [])).readings() if fields else readings
    net, network = _network(module, name)
    key = module.get("RECIPE")
    key = key.get(name) if isinstance(key, Mapping) else key
    network = dict(network or {})
    training = recipes.recipe(key) if key else {}
    if network or training:
        network |= networks.RECTIFIERS.get(row.config.model.act, {})
    reasons = {
        quantity: _reason(module, reading.field, name)
        if usual.get(quantity) == reading
        else ""
        for quantity, reading in readings.items()
    }
    lines = _lines(readings, network, training, reasons, epoch=row.steps_per_epoch)
    lines = (*lines, *_seeds(module, name))
    return Audited(name=name, network=net, recipe=key, lines=lines)


def _network(module: Mapping[str, Any], row: str) -> tuple[str | None, Facts | None]:
    """Key and facts of the net that a row claims to be."""
    if row in module.get("NETWORK", {}):
        key = module["NETWORK"][row]
        return key, networks.network(key)
    cell = module.get("PAPER", {}).get(row)
    if cell is None:
        return None, None
    cell = cell if isinstance(cell, paper.Value) else paper.value(cell)
    known = cell.key in networks.NETWORKS
    return (cell.key, networks.network(cell.key)) if known else (None, None)


def _reason(module: Mapping[str, Any], field: str, row: str) -> str:
    """What DEVIATIONS says of a field in a row."""
    entry = module.get("DEVIATIONS", {}).get(field, "")
    if isinstance(entry, str):
        return entry
    return next((r for p, r in entry.items() if fnmatch.fnmatchcase(row, p)), "")


def _lines(
    readings: Readings,
    network: Facts,
    training: Facts,
    reasons: Mapping[str, str],
    *,
    epoch: float | None,
) -> Iterator[Line]:
    """Lines in the order of the readings; `reasons` by quantity, `epoch` in steps.

    What only nets of another form have is not compared: their form is.
    """
    # Fields that make a net another one, and whether that is wrong.
    differs = {
        readings[quantity].field: fact.settled and not reasons[quantity]
        for quantity, fact in network.items()
        if quantity in COUNTED
        and quantity in readings
        and fact.value is not None
        and not same(fact, readings[quantity].value, epoch=epoch)
    }
    facts = {**network, **training}
    for quantity, reading in readings.items():
        fact = facts.get(quantity)
        if fact is None:
            if quantity in SHOWN:
                yield _line(quantity, reading, None, "shown", "", epoch)
            continue
        reason = reasons[quantity]
        verdict = judged(fact, reading.value, reason=reason, epoch=epoch)
        if verdict == "WRONG" and quantity in COUNTS and differs:
            reason = f"follows from {', '.join(differs)}"
            verdict = "WRONG" if any(differs.values()) else "deviates"
        kept = reason if verdict != "equal" else ""
        yield _line(quantity, reading, fact, verdict, kept, epoch)


def judged(fact: Fact, value: Any, *, reason: str, epoch: float | None) -> Verdict:
    """`epoch` is in iterations, None where the size of the data is not known."""
    unknown = value == UNKNOWN or (fact.unit == "epochs" and epoch is None)
    if unknown or not fact.settled:
        return "unsettled"
    if same(fact, value, epoch=epoch):
        return "equal"
    return "deviates" if reason else "WRONG"


def same(fact: Fact, value: Any, *, epoch: float | None) -> bool:
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


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _line(
    quantity: str,
    reading: Reading,
    fact: Fact | None,
    verdict: Verdict,
    reason: str,
    epoch: float | None,
) -> Line:
    source = "" if fact is None else fact.source
    if fact is not None and fact.certainty not in ("text", "silent"):
        source += f" [{fact.certainty}]"
    ours = shown(reading.value)
    if quantity in IN_ITERATIONS and reading.value and epoch:
        epochs = ", ".join(f"{v / epoch:.1f}" for v in _several(reading.value))
        ours += f" (epoch {epochs})"
    theirs = "-" if fact is None or fact.value is None else shown(fact.value)
    if fact is not None and fact.unit:
        theirs += f" {fact.unit}"
    return Line(
        quantity=quantity, field=reading.field, paper=theirs, config=ours,
        verdict=verdict, source=source, reason=reason,
    )  # fmt: skip


def shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _seeds(module: Mapping[str, Any], row: str) -> Iterator[Line]:
    """Whether there are as many seeds as the paper has runs."""
    cell = module.get("PAPER", {}).get(row)
    if cell is None:
        return
    cell = cell if isinstance(cell, paper.Value) else paper.value(cell)
    count, reason = len(module.get("SEEDS", ())), _reason(module, "SEEDS", row)
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


def stale(path: str, rows: Sequence[Audited]) -> list[str]:
    """A line for every reason in DEVIATIONS that no row needs."""
    reasons = cli.definitions(path).get("DEVIATIONS", {})
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
