"""Values derived from a config after all overrides; they are never fields."""

from resnet_jax.config.schema import Config


def norm_group(config: Config, *, devices: int) -> int | None:
    """Examples that share BatchNorm statistics; None: all of a batch, or no norm."""
    norm = config.model.norm
    if norm is None or norm.group == "global":
        return None
    if norm.group == "device":
        return part_size(config) // devices
    return norm.group


def part_size(config: Config) -> int:
    """Examples per part of a batch (gradient accumulation), the largest norm group."""
    return config.data.batch_size // config.train.accumulate


def schedule_steps(config: Config, *, examples: int) -> int:
    """Iterations of the full schedule, for a training set of `examples` examples."""
    if config.train.iterations is not None:
        return config.train.iterations
    epochs = config.train.epochs or 0.0
    return max(1, round(epochs * examples / config.data.batch_size))


def relay_weight(config: Config) -> float:
    """Weight of each auxiliary loss; 1 if there is none."""
    loss = getattr(config.model, "auxiliary_loss", None)
    return loss.weight if loss else 1.0
