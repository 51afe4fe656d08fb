"""Evaluation protocols: views of an example and the mean of their scores."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float

Apply = Callable[[Float[Array, "b *hw c"]], Float[Array, "b n"]]


@runtime_checkable
class EvaluationProtocol(Protocol):
    """Protocol as frozen data, with a `name` for the log."""

    @property
    def name(self) -> str: ...

    def __call__(
        self, apply: Apply, images: Float[Array, "b *hw c"]
    ) -> Float[Array, "b n"]:
        """Compute logits per example; `apply` computes those of a batch of views."""
        ...


@dataclasses.dataclass(frozen=True)
class OneCrop:
    """Single view: the centre crop, or the whole image where nothing is cropped."""

    name: str = "1crop"

    def __call__(
        self, apply: Apply, images: Float[Array, "b *hw c"]
    ) -> Float[Array, "b n"]:
        return apply(images)
