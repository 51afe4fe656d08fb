"""Configs: from an experiment file and a command line to valid, frozen data; no jax."""

from resnet_jax.config.resolve import configured

__all__ = ["configured"]
