"""Seconds from the start of resnet_jax.main to its first finished step.

    python benchmarks/launch.py --config FILE:ROW [--config.x.y=v ...]

runs resnet_jax.main with a progress bar that prints the seconds after the first step
and ends the process there. A turn is two launches of a row: with an empty compilation
cache, then with the cache that the first launch filled.
"""

import os
import sys
import tempfile
import time

from cases import EXPERIMENTS, Case
from work import STARTED, Sample, printed_number, since_launch


class FirstStep:
    """Progress bar that waits for the first step, then prints its time and exits."""

    def __init__(self, *, total: int):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def doing(self, what: str):
        pass

    def note(self, text: str):
        pass

    def update(self, step: int):
        import jax

        jax.block_until_ready(jax.live_arrays())
        print(f"{step} {since_launch()}", flush=True)
        os._exit(0)


class Launch:
    """Launches of a row, on a synthetic data set of CIFAR's shape."""

    def __init__(self, case: Case, directory: str):
        import synthetic  # here, not in the launched processes

        synthetic.prepare(directory)
        fields = [f"data.name={synthetic.NAME}", f"data.dir={directory}"]
        fields += [f"data.batch_size={case.batch}", *case.fields]
        self._options = [f"--config={EXPERIMENTS}/{case.row}"]
        self._options += [f"--config.{field}" for field in fields]
        self._folder, self.facts = directory, dict(synthetic.EXAMPLES)

    def turn(self, steps: int) -> Sample:
        """Seconds of a launch with an empty cache and of one with a warm cache."""
        with tempfile.TemporaryDirectory(dir=self._folder) as cache:
            return {
                "empty_cache_s": self._seconds(cache),
                "warm_cache_s": self._seconds(cache),
            }

    def device_peak(self) -> None:
        """Unknown: the launched processes hold the memory."""

    def _seconds(self, cache: str) -> float:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name != "JAX_COMPILATION_CACHE_DIR"
        }
        with tempfile.TemporaryDirectory(dir=self._folder) as workdir:
            command = [sys.executable, __file__, *self._options, "--workdir", workdir]
            environment |= {STARTED: str(time.monotonic()), "XDG_CACHE_HOME": cache}
            return printed_number(command, env=environment)


if __name__ == "__main__":
    from resnet_jax import main

    main.Bar = FirstStep
    sys.exit(main.main())
