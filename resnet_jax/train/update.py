"""The train program of a run: compiled once, and asked for the memory it takes."""

from collections.abc import Callable, Iterable
from typing import Any


class Update:
    """`Program.steps` for one shape of arguments, compiled at its first call.

    temporary_bytes: what a call takes for temporaries on one device; None before it is
    compiled, and where the compiler does not tell
    """

    def __init__(self, steps: Callable[..., Any]):
        self._steps, self._compiled = steps, None
        self.temporary_bytes: int | None = None

    def compile(self, *arguments: Any) -> None:
        """Ahead of the first call; `arguments` may be shapes."""
        self._compiled = self._steps.lower(*arguments).compile()
        found = self._compiled.memory_analysis()
        self.temporary_bytes = found and found.temp_size_in_bytes

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled is None:
            self.compile(*arguments)
        return self._compiled(*arguments)


def temporary_bytes(updates: Iterable[Update]) -> int | None:
    """That of the largest one, as they run one after the other."""
    found = [update.temporary_bytes for update in updates]
    return max((size for size in found if size is not None), default=None)
