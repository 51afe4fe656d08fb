"""Progress and ETA of a run on a terminal or in a log file."""

import sys

import tqdm


class Bar:
    """A bar on stderr; in a file, a line every half minute."""

    def __init__(self, *, total: int):
        self._bar = tqdm.tqdm(
            total=total,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def update(self, step: int) -> None:
        self._bar.update(step - self._bar.n)

    def doing(self, what: str) -> None:
        """Name what the run does now, ahead of the bar."""
        self._bar.set_description_str(what, refresh=what != "training")

    def note(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)
