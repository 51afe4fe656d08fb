"""Evaluation protocols: the views of an example that are scored, and their mean."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

Apply = Callable[[Float[Array, "b *hw c"]], Float[Array, "b n"]]


@runtime_checkable
class EvaluationProtocol(Protocol):
    """A protocol as frozen data: `name` stands in the log, the call scores images."""

    @property
    def name(self) -> str: ...

    def __call__(
        self, apply: Apply, images: Float[Array, "b *hw c"]
    ) -> Float[Array, "b n"]:
        """Logits of each example; `apply` gives the logits of a batch of views."""
        ...


@dataclasses.dataclass(frozen=True)
class OneCrop:
    """One view: the centre crop, or the whole of an image that is not cropped."""

    name: str = "1crop"

    def __call__(
        self, apply: Apply, images: Float[Array, "b *hw c"]
    ) -> Float[Array, "b n"]:
        return apply(images)
