"""From the start of resnet_jax.main to its first finished step, process and all.

    python benchmarks/launch.py --config FILE:ROW [--config.x.y=v ...]

is resnet_jax.main with another progress bar: one that ends the process there and prints
the seconds. A turn is two launches of a row: with an empty compilation cache, and again
with what the first one left in it.
"""

import os
import pathlib
import sys
import tempfile
import time

from cases import Case
from work import STARTED, Sample, figure_of, since_launch

EXPERIMENTS = pathlib.Path(__file__).parents[1] / "experiments"


class FirstStep:
    """A progress bar that waits for the first step, and for nothing behind it."""

    def __init__(self, *, total: int):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def note(self, text: str):
        pass

    def update(self, step: int):
        import jax

        jax.block_until_ready(jax.live_arrays())
        print(f"{step} {since_launch()}", flush=True)
        os._exit(0)


class Launch:
    """Launches of a row, on a data set of CIFAR's shape."""

    def __init__(self, case: Case, directory: str):
        import shaped  # not in the launched processes

        shaped.prepare(directory)
        fields = [f"data.name={shaped.NAME}", f"data.dir={directory}"]
        fields += [f"data.batch_size={case.batch}", *case.fields]
        self._options = [f"--config={EXPERIMENTS}/{case.row}"]
        self._options += [f"--config.{field}" for field in fields]
        self._folder, self.facts = directory, dict(shaped.EXAMPLES)

    def turn(self, steps: int) -> Sample:
        with tempfile.TemporaryDirectory(dir=self._folder) as cache:
            return {
                "empty_cache_s": self._once(cache),
                "warm_cache_s": self._once(cache),
            }

    def device_peak(self) -> None:
        """That of other processes."""

    def _once(self, cache):
        kept = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        with tempfile.TemporaryDirectory(dir=self._folder) as workdir:
            command = [sys.executable, __file__, *self._options, "--workdir", workdir]
            started = {STARTED: str(time.monotonic()), "XDG_CACHE_HOME": cache}
            return figure_of(command, env=kept | started)


if __name__ == "__main__":
    from resnet_jax import main

    main.Bar = FirstStep
    sys.exit(main.main())
