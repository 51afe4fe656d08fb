"""Training images of several sizes, an epoch each in turn."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Turns:
    """Epoch e is trained at sizes[e mod n]  (He et al. 2014, Sec. 2.3, multi-size).

    The epoch of a batch is that of its first image: a function of the step alone.
    """

    sizes: tuple[int, ...]
    examples: int  # of an epoch
    batch_size: int

    def size(self, step: int) -> int:
        """Of the batch of `step`, in pixels."""
        return self.sizes[self._epoch(step) % len(self.sizes)]

    def left(self, step: int) -> int:
        """Updates from `step` on, up to the first of another epoch."""
        end = (self._epoch(step) + 1) * self.examples
        return -(-end // self.batch_size) - step

    def _epoch(self, step):
        return step * self.batch_size // self.examples
