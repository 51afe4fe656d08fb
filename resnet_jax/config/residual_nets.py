"""Families of networks of residual units, a class each."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from resnet_jax.config.branches import Bottleneck, Branch, Min, Multigrid, Simple
from resnet_jax.config.family import Looped, Staged
from resnet_jax.config.layers import Ghost
from resnet_jax.config.types import Count, Positive, Share, part
from resnet_jax.config.units import ResidualUnit, RungeKuttaUnit, Unit, WideUnit
from resnet_jax.errors import ConfigError

if TYPE_CHECKING:
    from resnet_jax.models.nets.resnet import ResNetSpec
    from resnet_jax.models.nets.rkcnn import RKCNNSpec
    from resnet_jax.models.nets.spec import NetSpec


@part
class Residual(Staged):
    """A network of residual units."""

    width: Positive = 1.0
    """Factor on all widths."""
    ghost_share: Share = 0.0
    """Share of ghost channels in G-Ghost stages, lambda (Han et al. 2022); 0: none."""

    def filled(
        self,
        zoo_function: Callable[..., "ResNetSpec"],
        depth: int,
        unit: Unit,
        **fields: object,
    ) -> "ResNetSpec":
        """The spec of a zoo function with the slots of `unit` filled."""
        from resnet_jax.models.units.ghost import GGhost

        spec = zoo_function(depth, width=self.width, **unit.slots() | fields)
        if self.ghost_share and max(spec.depths[1:]) < 3:
            told = "no stage behind the first has three units; make model.depth larger"
            raise ConfigError(f"model.ghost_share={self.ghost_share}: {told}")
        drop = unit.stochastic_depth
        return dataclasses.replace(
            spec,
            survival=drop.survival_prob if drop else 1.0,
            ghosts=GGhost(self.ghost_share) if self.ghost_share else spec.ghosts,
        )


@part
class Branched(Residual):
    """A network whose units take any branch."""

    unit: ResidualUnit = ResidualUnit()
    """Slots of the residual unit."""

    def branched(
        self,
        zoo_function: Callable[..., "ResNetSpec"],
        depth: int,
        *,
        auto: Branch,
        **fields: object,
    ) -> "ResNetSpec":
        """The spec of a zoo function with the unit's branch, or the family's `auto`."""
        branch = self.unit.built_branch(auto)
        return self.filled(zoo_function, depth, self.unit, branch=branch, **fields)


@part
class CifarResNet(Branched):
    """ResNets for 32x32 images (He et al. 2016a, Sec. 4.2; 2016b)."""

    name: Literal["cifar_resnet"] = "cifar_resnet"
    depth: Count = 20
    """Weighted layers: 6n+2 (basic), 9n+2 (bottleneck), 3n+2 (single)."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.resnets import cifar_resnet

        return self.branched(cifar_resnet, self.depth, auto=Simple())


@part
class ImageNetResNet(Branched):
    """ResNets for 224x224 images (He et al. 2016a, Table 1)."""

    name: Literal["imagenet_resnet"] = "imagenet_resnet"
    depth: Count = 50
    """Weighted layers: 18, 34, 50, 101, 152 or 200; bottlenecks from 50 on."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.resnets import imagenet_resnet

        return self.branched(imagenet_resnet, self.depth, auto=_by_depth(self.depth))


@part
class WideResNet(Residual):
    """Wide residual networks for 32x32 images (Zagoruyko & Komodakis 2016)."""

    name: Literal["wide_resnet"] = "wide_resnet"
    depth: Count = 28
    """Weighted layers: 6n+4 of B(3,3)."""
    unit: WideUnit = WideUnit()
    """Slots of the residual unit."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.resnets import wide_resnet

        noise, kernels = self.unit.noise, self.unit.kernels
        if noise and len(kernels) < 2:
            raise ConfigError(
                f"model.unit.noise={noise.name!r}: model.unit.kernels={kernels} have "
                "no place for it; leave it out"
            )
        own = {"kernels": kernels, "noise": noise and noise.build()}
        return self.filled(wide_resnet, self.depth, self.unit, **own)


@part
class Plain(Residual):
    """Plain nets of 3x3 and 1x1 convolutions, to test initialisations."""

    name: Literal["plain"] = "plain"
    depth: Count = 22
    """Weighted layers: 4n+2, at least 14."""
    unit: Unit = Unit()
    """Slots of a unit without a shortcut."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.resnets import plain

        return self.filled(plain, self.depth, self.unit, shortcut="none")


@part
class ResNet3d(Branched):
    """3D ResNets for clips of 16 frames of 112x112 (Hara et al. 2018)."""

    name: Literal["resnet_3d"] = "resnet_3d"
    depth: Count = 18
    """Weighted layers: 18, 34, 50, 101, 152 or 200; bottlenecks from 50 on."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.resnets_3d import resnet_3d

        return self.branched(resnet_3d, self.depth, auto=_by_depth(self.depth))


@part
class SmallResNet3d(Branched):
    """The 6n+2 net for small clips, 8x16x16; no paper has it."""

    name: Literal["small_resnet_3d"] = "small_resnet_3d"
    depth: Count = 8
    """Weighted layers: 6n+2 (basic), 9n+2 (bottleneck)."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.resnets_3d import small_resnet_3d

        return self.branched(small_resnet_3d, self.depth, auto=Simple())


@part
class MinNet(Branched):
    """Min-Nets for 32x32 images (Gruening & Barth 2021)."""

    name: Literal["min_net"] = "min_net"
    depth: Count = 20
    """Weighted layers: 6n+2."""
    unit: ResidualUnit = ResidualUnit(order="pyramid", shortcut="avgpool-A")
    """Slots of the residual unit; other branches than min make pyramid units."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.steps_and_grids import min_net

        order, only_min = self.unit.order, self.unit.branch.name in ("auto", "min")
        if self.depth < 14 and only_min and order != "pyramid":
            told = f"model.depth={self.depth} has Min units only, of one order"
            raise ConfigError(f"model.unit.order={order!r}: {told}")
        return self.branched(min_net, self.depth, auto=Min())


@part
class MgicNet(Branched):
    """ResNet-18 and 34 with V-cycles for 32x32 images (Eliasof et al. 2023)."""

    name: Literal["mgic_net"] = "mgic_net"
    depth: Count = 34
    """Weighted layers: 18 or 34."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.steps_and_grids import mgic_net

        unit, cycles = self.unit, self.unit.branch.name in ("auto", "multigrid")
        if cycles and unit.num_branches == 1 and "A" in unit.shortcut:
            told = "V-cycles that resize have no shortcut; leave it out"
            raise ConfigError(f"model.unit.shortcut={unit.shortcut!r}: {told}")
        return self.branched(mgic_net, self.depth, auto=Multigrid())


@part
class RkResNet(Residual):
    """The net of cifar_resnet whose inner units are Runge-Kutta steps."""

    name: Literal["rk_resnet"] = "rk_resnet"
    depth: Count = 20
    """Weighted layers: 6n+2 (basic); a step counts as one unit."""
    unit: RungeKuttaUnit = RungeKuttaUnit()
    """Slots of the step."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.units import runge_kutta
        from resnet_jax.models.zoo.steps_and_grids import rk_resnet

        if self.depth < 14:
            raise ConfigError(f"model.depth={self.depth}: too few units for a step")
        step = runge_kutta.RungeKutta(
            getattr(runge_kutta, self.unit.tableau.name.upper()),
            self.unit.built_branch(),
            sweeps=getattr(self.unit.tableau, "sweeps", 1),
        )
        return self.filled(rk_resnet, self.depth, self.unit, branch=step)


@part
class RkCnn(Looped):
    """RKCNN of five stages and 80 channels for 32x32 images (Zhu et al. 2022)."""

    name: Literal["rkcnn"] = "rkcnn"
    depth: Count = 32
    """Weighted layers: 6sn+2 of s = 5 stages (E), 12sn+2 (I, R)."""
    width: Positive = 1.0
    """Factor on all widths."""
    variant: Literal["E", "I", "R"] = "E"
    """Slopes: explicit (E), updated one after the other (I) or all at once (R)."""

    def spec(self) -> "RKCNNSpec":
        from resnet_jax.models.units.runge_kutta import Clique
        from resnet_jax.models.zoo.steps_and_grids import rkcnn

        update: dict[str, Literal["none", "in_place", "at_once"]] = {
            "E": "none", "I": "in_place", "R": "at_once"
        }  # fmt: skip
        branch = Clique(update=update[self.variant])
        return rkcnn(self.depth, branch=branch, width=self.width)


# --- Ghost nets


@part
class GhostNet(Staged):
    """GhostNet (Han et al. 2020, Table 1)."""

    name: Literal["ghostnet"] = "ghostnet"
    width: Positive = 1.0
    """Factor on all widths."""
    size: Literal["imagenet", "cifar", "digits"] = "imagenet"
    """Images that it is for; ours for smaller ones subsample less."""
    ghost: Ghost = Ghost()
    """Ghost modules of its bottlenecks."""

    def network(self) -> "NetSpec":
        if self.operator:
            told = "a GhostNet is of Ghost modules already; use model.ghost"
            raise ConfigError(f"model.operator={self.operator.name!r}: {told}")
        if self.depth_mode != "scan":
            told = "no units of a GhostNet are a loop; leave it out"
            raise ConfigError(f"model.depth_mode={self.depth_mode!r}: {told}")
        return super().network()

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo.ghostnets import ghostnet

        return ghostnet(self.width, ghost=self.ghost.build(), images=self.size)


@part
class RegNetX(Staged):
    """RegNetX for 224x224 images (Radosavovic et al. 2020); or with G-Ghost stages."""

    name: Literal["regnetx", "gghost"] = "regnetx"
    variant: Literal["3.2GF", "4.0GF", "8.0GF", "16GF"] = "3.2GF"
    """Multiply-adds per image, without G-Ghost stages (Han et al. 2022)."""

    def spec(self) -> "ResNetSpec":
        from resnet_jax.models.zoo import ghostnets

        made = ghostnets.regnetx if self.name == "regnetx" else ghostnets.gghost
        return made(self.variant)


def _by_depth(depth: int) -> Simple | Bottleneck:
    return Simple() if depth < 50 else Bottleneck()
