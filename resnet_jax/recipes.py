"""The old place of `resnet_jax.config.recipes`, for experiment files of version 0.1."""

from resnet_jax.config.recipes import *  # noqa: F403
