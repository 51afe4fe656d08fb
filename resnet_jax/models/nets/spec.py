"""Spec of any network."""

from typing import TypeAlias

from resnet_jax.models.nets.densenet import DenseNetSpec
from resnet_jax.models.nets.plain import PlainSpec
from resnet_jax.models.nets.resnet import ResNetSpec
from resnet_jax.models.nets.rkcnn import RKCNNSpec

NetSpec: TypeAlias = ResNetSpec | DenseNetSpec | RKCNNSpec | PlainSpec
