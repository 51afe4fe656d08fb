"""Copies of runs, found by their ids and by what they computed."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

from resnet_jax.report.runs import Run


def mark_copies(found: Mapping[str, tuple[Run, ...]]) -> dict[str, tuple[Run, ...]]:
    """Mark runs of one id, or of equal losses and errors under other seeds, as foreign.

    Which of them is the copy is not known. Equal configs under one seed may be equal.
    """
    ids: dict[str, list[Run]] = defaultdict(list)
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in (run for members in found.values() for run in members):
        if run.id:
            ids[run.id].append(run)
        if run.computed and not run.foreign:
            groups[run.computed].append(run)

    def marked(run: Run) -> Run:
        same = [r.name for r in ids[run.id] if r is not run]
        twins = [r.name for r in groups[run.computed] if r.seed != run.seed]
        if run.foreign:
            return run
        if same:
            told = f"config.json: has the id of {', '.join(same)}"
        elif twins:
            told = f"metrics.jsonl: has the losses and errors of {', '.join(twins)}"
        else:
            return run
        return dataclasses.replace(run, foreign=(told,))

    return {row: tuple(map(marked, members)) for row, members in found.items()}
