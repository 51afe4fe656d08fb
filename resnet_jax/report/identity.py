"""Copies of runs, found by what they computed."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

from resnet_jax.report.runs import Run


def mark_copies(found: Mapping[str, tuple[Run, ...]]) -> dict[str, tuple[Run, ...]]:
    """Mark runs of different seeds whose losses and errors are equal as foreign.

    Which of them is the copy is not known. Equal configs under one seed may be equal.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in (run for members in found.values() for run in members):
        if run.computed and not run.foreign:
            groups[run.computed].append(run)

    def marked(run: Run) -> Run:
        twins = [r.name for r in groups[run.computed] if r.seed != run.seed]
        if run.foreign or not twins:
            return run
        told = f"metrics.jsonl: has the losses and errors of {', '.join(twins)}"
        return dataclasses.replace(run, foreign=(told,))

    return {row: tuple(map(marked, members)) for row, members in found.items()}
