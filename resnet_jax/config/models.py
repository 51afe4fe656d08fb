"""The network of a config: one of all families, by name."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field

from resnet_jax.config import other_nets as other
from resnet_jax.config import residual_nets as residual
from resnet_jax.config.types import part

if TYPE_CHECKING:
    pass


@part
class SpecFile:
    """A network that no family describes (cut, converted), as JSON in the run's folder."""

    name: Literal["spec"] = "spec"
    file: str = "spec.json"
    """Path of the spec; a relative one is beside config.json."""

    def network(self) -> Any:
        """The spec as it was written."""
        from resnet_jax.models import serialize

        return serialize.read(self.file)


Model: TypeAlias = Annotated[
    residual.CifarResNet
    | residual.ImageNetResNet
    | residual.WideResNet
    | residual.Plain
    | residual.ResNet3d
    | residual.SmallResNet3d
    | residual.MinNet
    | residual.MgicNet
    | residual.RkResNet
    | residual.RkCnn
    | residual.GhostNet
    | residual.RegNetX
    | residual.GGhostRegNetX
    | other.DenseNet
    | other.ImageNetDenseNet
    | other.HarDNet
    | other.ThreshNet
    | other.Nin
    | other.AllCnn
    | other.Vgg
    | other.PReluSmall
    | other.PReluLarge
    | other.SppNet
    | other.Places2,
    Field(discriminator="name"),
]
