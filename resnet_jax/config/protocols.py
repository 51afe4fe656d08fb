"""Evaluation protocols."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from resnet_jax.config.types import part

if TYPE_CHECKING:
    from resnet_jax.train.protocols import EvaluationProtocol


@part
class OneCrop:
    """One view per example: the centre crop, or the whole image."""

    name: Literal["1crop"] = "1crop"

    def build(self) -> "EvaluationProtocol":
        from resnet_jax.train import protocols

        return protocols.OneCrop()


EvalProtocol: TypeAlias = Annotated[OneCrop, Field()]
