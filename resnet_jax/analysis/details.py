"""Every prediction of a trained net on a split."""

from collections.abc import Iterator

from resnet_jax.train.progress import Bar
from resnet_jax.train.trained import Split, Trained


def predictions(
    net: Trained, split: Split
) -> Iterator[tuple[str, int, tuple[float, ...]]]:
    """Yield location, label and class probabilities of every example, in order."""
    source, done = net.experiment.pipeline.splits[split], 0
    with Bar(total=len(source), unit="image", leave=False) as bar:
        for labels, probabilities in net.probabilities(split):
            for label, row in zip(labels, probabilities, strict=True):
                yield source.where(done), int(label), tuple(map(float, row))
                done += 1
            bar.update(done)
