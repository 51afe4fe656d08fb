"""Union of the network families, by name."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from resnet_jax.config import other_nets as other
from resnet_jax.config import residual_nets as residual
from resnet_jax.config import separable_nets as separable
from resnet_jax.config.family import Family
from resnet_jax.config.types import part

if TYPE_CHECKING:
    from resnet_jax.models.nets.spec import NetSpec


@part
class SpecFile(Family):
    """A network that no family describes (cut, converted), as JSON."""

    name: Literal["spec"] = "spec"
    file: str = "spec.json"
    """Path of the spec; a relative one starts from the current directory."""

    def spec(self) -> "NetSpec":
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
    | separable.Xception
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
    | other.Places2
    | SpecFile,
    Field(discriminator="name"),
]
