"""slopes.json of every seed of a run."""

import flax.linen as nn
import jax

from resnet_jax.models.inspect import learned_slopes
from resnet_jax.runs import slopes
from resnet_jax.train import loop
from resnet_jax.train.state import TrainState


def keep(
    run: loop.Run, state: TrainState, *, net: nn.Module, image_shape: tuple[int, ...]
) -> None:
    """Write slopes.json beside the log of every seed, of the tested parameters."""
    if jax.process_index() == 0:
        step, params = loop.at_step(state), loop.variables_of(state)["params"]
        for replica, own in run.slices(jax.device_get(params)):
            learned = learned_slopes(net, own, image_shape=image_shape)
            slopes.write(replica.log.path.parent, learned, step=step)
