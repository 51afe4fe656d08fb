"""Configs: experiment file and command line to validated, frozen data; no jax."""

from resnet_jax.config.resolve import configured

__all__ = ["configured"]
