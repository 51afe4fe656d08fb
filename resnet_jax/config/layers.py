"""Members of the slots of every layer: activation, norm, operator."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, Strict

from resnet_jax.config.types import Count, Finite, Number, Odd, Positive, Share, part
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.models.layers import operators
    from resnet_jax.models.layers.activations import Rectifier
    from resnet_jax.models.layers.batchnorm import NormSpec


@part
class Fixed:
    """ReLU, ReLU6, RReLU (Xu et al. 2015), ELU (Clevert et al. 2016), or none.

    None is for operators that are nonlinear themselves.
    """

    name: Literal["relu", "relu6", "rrelu", "elu", "none"] = "relu"

    def build(self) -> "Rectifier":
        from resnet_jax.models.layers import activations

        return {
            "relu": activations.Relu,
            "relu6": activations.Relu6,
            "rrelu": activations.RRelu,
            "elu": activations.Elu,
            "none": activations.Linear,
        }[self.name]()


@part
class LeakyRelu:
    """ReLU with a fixed slope below zero (Maas et al. 2013)."""

    name: Literal["leaky_relu"] = "leaky_relu"
    slope: Finite = 0.01
    """Slope of the negative part."""

    def build(self) -> "Rectifier":
        from resnet_jax.models.layers import activations

        return activations.LeakyRelu(self.slope)


@part
class PRelu:
    """ReLU with a learned slope below zero, per channel or layer (He et al. 2015)."""

    name: Literal["prelu", "prelu_shared"] = "prelu"
    slope: Finite = 0.25
    """Initial slope of the negative part."""

    def build(self) -> "Rectifier":
        from resnet_jax.models.layers import activations

        sharing = "channel" if self.name == "prelu" else "layer"
        return activations.PRelu(sharing, self.slope)


Act: TypeAlias = Annotated[Fixed | LeakyRelu | PRelu, Field(discriminator="name")]


@part
class BatchNorm:
    """Batch normalisation (Ioffe & Szegedy 2015)."""

    name: Literal["batch"] = "batch"
    dialect: Literal["torch", "caffe", "tensorflow"] = "torch"
    """Framework whose momentum, epsilon and running average are the defaults."""
    group: Literal["global", "device"] | Count = "global"
    """Examples that share statistics: a whole batch, those of a device, or a number."""
    momentum: Share | None = None
    """Weight of the old value in a running statistic; None: the dialect's."""
    epsilon: Positive | None = None
    """Number added to the variance; None: the dialect's."""
    scale: Positive = 1.0
    """Initial value of the scales."""
    precise: Number = 0
    """Training batches over which statistics are recomputed at the end; 0: none."""
    frozen: bool = False
    """Running statistics that normalise in training too, and stay as they are."""

    def build(self, *, group: int | None, axis_name: str | None) -> "NormSpec":
        """Norm of a net over `group` examples (None: the whole batch)."""
        from resnet_jax.models.layers import batchnorm

        chosen = {"momentum": self.momentum, "epsilon": self.epsilon}
        chosen = {name: value for name, value in chosen.items() if value is not None}
        spec = getattr(batchnorm, self.dialect.upper())
        if self.frozen and self.scale != 1:
            raise ConfigError(
                f"model.norm.scale={self.scale}: model.norm.frozen takes scales as they"
                " are; leave one of them out"
            )
        if self.scale != 1:
            own = dataclasses.asdict(spec)
            spec = batchnorm.ScaledNormSpec(**own, scale=self.scale)
        if self.frozen:
            spec = batchnorm.FrozenNormSpec(**dataclasses.asdict(spec))
        return dataclasses.replace(spec, group=group, axis_name=axis_name, **chosen)


@part
class Ghost:
    """Ghost modules in place of all convolutions after the stem (Han et al. 2020)."""

    name: Literal["ghost"] = "ghost"
    ratio: Annotated[int, Strict(), Field(ge=2)] = 2
    """Maps per intrinsic map, s of the paper."""
    kernel: Odd = 3
    """Kernel size of the cheap operation, d of the paper; odd."""

    def build(self) -> "operators.Ghost":
        from resnet_jax.models.layers import operators

        return operators.Ghost(self.ratio, self.kernel)


@part
class Binary:
    """Binary kernels; for xnor and xnor_signs binary inputs (Rastegari et al. 2016)."""

    name: Literal["binary", "xnor", "xnor_signs"] = "binary"
    rule: Literal["paper", "released"] = "paper"
    """Gradient of binary kernels: the paper's, or the released code's with centring."""

    def build(self) -> "operators.Binary":
        from resnet_jax.models.layers import operators

        inputs: dict[str, Literal["real", "scaled", "signs"]] = {
            "binary": "real", "xnor": "scaled", "xnor_signs": "signs"
        }  # fmt: skip
        return operators.Binary(inputs[self.name], rule=self.rule)


Operators: TypeAlias = Annotated[Ghost | Binary, Field(discriminator="name")]
