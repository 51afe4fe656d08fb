"""Check for non-finite losses."""

from collections import deque

import jax

from resnet_jax.train.replicas import Replica
from resnet_jax.train.running import Run
from resnet_jax.train.schedule import LoopSpec
from resnet_jax.train.state import Sums
from resnet_jax.train.timer import Timer

CHECK_EVERY = 50  # steps between checks of the losses, which wait for the device


class LossMonitor:
    """Check for non-finite losses, without waiting for the device at every step."""

    def __init__(self, run: Run, spec: LoopSpec, timer: Timer):
        self._run, self._spec, self._timer = run, spec, timer
        self._pending: deque[tuple[int, int, Sums]] = deque()

    def add(self, step: int, count: int, outputs: Sums) -> None:
        """Add the outputs of a call of `count` updates that ended at `step`."""
        self._pending.append((step, count, outputs))
        if len(self._pending) * self._spec.steps_per_call >= CHECK_EVERY:
            self.check(newest=2)

    def check(self, *, newest: int = 0) -> bool:
        """Log each update that was left out; tell whether a seed has not diverged.

        Too many of them end a seed. The `newest` calls are not checked, as the device
        may still compute them.
        """
        while len(self._pending) > newest:
            end, count, outputs = self._pending.popleft()
            for replica, own in self._run.slices(jax.device_get(outputs)):
                for i in (~own["ok"][:count]).nonzero()[0]:
                    if not replica.diverged:
                        step = end - count + int(i) + 1
                        loss, skipped = float(own["loss"][i]), int(own["skipped"][i])
                        self._log_nonfinite(replica, step, loss, skipped)
        return self._run.alive

    def _log_nonfinite(
        self, replica: Replica, step: int, loss: float, skipped: int
    ) -> None:
        row = {"split": "train", "step": step, "loss": loss, "event": "not finite"}
        replica.log.write(row | {"wall_s": replica.wall_s(self._timer.seconds())})
        if skipped > self._spec.max_nonfinite:
            replica.fail(f"step={step}: loss {loss} or its gradient is not finite")
