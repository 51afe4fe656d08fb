"""Progress bar of a run, on a terminal or in a log file."""

import sys
from typing import Any

from resnet_jax.errors import ConfigError


class Bar:
    """tqdm bar on stderr with its options; in a file, a line every 30 seconds."""

    def __init__(self, *, total: int, unit: str = "step", **options: Any):
        try:
            import tqdm
        except ValueError as error:  # it reads its variables as it is imported
            raise ConfigError(
                f"environment: TQDM_...: {error}; correct the variable, or unset it"
            ) from error
        self._bar = tqdm.tqdm(
            total=total,
            unit=unit,
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 30,
            **options,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def update(self, step: int) -> None:
        self._bar.update(step - self._bar.n)

    def doing(self, what: str) -> None:
        """Show the current activity before the bar."""
        self._bar.set_description_str(what, refresh=what != "training")

    def note(self, text: str) -> None:
        self._bar.write(text, file=sys.stderr)
