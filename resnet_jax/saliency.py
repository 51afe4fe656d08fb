"""What a trained network sees in images: gradients on them, and maps of classes.

  python -m resnet_jax.saliency --workdir DIR --method guided --out seen.png
  python -m resnet_jax.saliency --workdir DIR --method cam --out maps.png

  --workdir DIR     the folder of a run; only read
  --method METHOD   what is drawn below each image:
    gradient    the derivative of a neuron with respect to the image
    deconvnet   R = 1[R' > 0] R' behind each rectifier, on the way back from it to the
                image (Zeiler & Fergus 2014)
    guided      R = 1[f > 0] 1[R' > 0] R' (Springenberg et al. 2015)
    cam         the map whose mean over the image is the logit of the predicted class
                (Zhou et al. 2016); of nets that end with a global mean
  --out PNG         the picture
  --layer PATH      the neuron is the most active one of this layer, norm_7 for example;
                    without it, that of the predicted class
  --images N        the first N test images (default 8)
  --best            the checkpoint of the best validation error, not the last one
  --data_dir DIR    where the data set is, if not where the config says
  --debug           show tracebacks of errors that a user can cause

Exit codes: 0 done, 2 config or usage, 3 data, 4 checkpoint, 6 the picture cannot be
written.
"""

import argparse
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, get_args

import jax
import numpy as np
from jaxtyping import Array

from resnet_jax import cli, evaluate
from resnet_jax.analysis.saliency import Rule, class_maps, traced_back
from resnet_jax.errors import ConfigError, StorageError
from resnet_jax.report.figure import EXTRA

METHODS = (*get_args(Rule), "cam")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    argv = sys.argv if argv is None else argv
    if {"-h", "--help"} & set(argv):
        print(__doc__.strip())
        return 0
    return cli.guarded(lambda: _inside(argv[1:]), debug="--debug" in argv)


def _inside(argv: Sequence[str]) -> None:
    chosen = parse(argv)
    figure = canvas(columns=chosen.images)  # its error, ahead of the work
    which = "best" if chosen.best else "last"
    trained = evaluate.load(chosen.workdir, which=which, data_dir=chosen.data_dir)
    batch, images = first_images(trained, chosen.images)
    spec, variables = trained.experiment.net, trained.variables
    forward = jax.jit(functools.partial(spec.build().apply, train=False))
    predicted = np.asarray(forward(variables, images).argmax(-1))
    if chosen.method == "cam":
        maps = np.asarray(class_maps(spec, variables, images))
        seen = [one[..., label] for one, label in zip(maps, predicted, strict=True)]
    else:
        back = {"rule": chosen.method, "layer": chosen.layer}
        seen = list(np.asarray(traced_back(spec, variables, images, **back)))
    titles = [
        f"{label}" if label == guess else f"{label}, seen as {guess}"
        for label, guess in zip(batch["label"], predicted, strict=True)
    ]
    draw(figure, batch["image"], seen, titles=titles, path=chosen.out)
    print(f"{chosen.out}: {chosen.method} on {len(titles)} test images")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = cli.Parser("resnet_jax.saliency")
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--layer")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--data_dir")
    parser.add_argument("--debug", action="store_true")
    chosen = parser.parse_args(argv)
    if not 1 <= chosen.images <= 64:
        raise ConfigError(f"--images={chosen.images}: must be from 1 to 64")
    if chosen.layer and chosen.method == "cam":
        raise ConfigError(f"--layer={chosen.layer}: --method=cam has no neuron")
    return chosen


def first_images(
    trained: evaluate.Trained, count: int
) -> tuple[dict[str, np.ndarray], Array]:
    """The first test examples, and their images as the network gets them."""
    feeds = trained.experiment.feeds
    if len(feeds.image_shape) != 3:
        raise ConfigError(
            f"--workdir: {trained.experiment.config.data.name} has inputs of shape "
            f"{feeds.image_shape}; pictures are of [h w c] only"
        )
    batch = next(feeds.examples("test", batch_size=count))
    batch = {name: value[batch["mask"] > 0] for name, value in batch.items()}
    return batch, feeds.preprocess(None, batch, train=False)


def canvas(*, columns: int) -> Any:
    """An empty figure; ConfigError where matplotlib is missing."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "--out: matplotlib is not installed; "
            f'pip install "resnet_jax[{EXTRA}]" brings it'
        ) from error
    figure = Figure(figsize=(1.5 * columns + 0.5, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw(
    figure: Any,
    photos: np.ndarray,
    seen: Sequence[np.ndarray],
    *,
    titles: Sequence[str],
    path: pathlib.Path,
) -> None:
    """Images above; below what is seen in them: pictures [h w c], or maps [h w]."""
    upper, lower = figure.subplots(2, len(photos), squeeze=False)
    for column, (photo, found, title) in enumerate(
        zip(photos, seen, titles, strict=True)
    ):
        height, width, channels = photo.shape
        grey = {"cmap": "gray"} if channels == 1 else {}
        upper[column].imshow(photo, **grey)
        upper[column].set_title(title, fontsize=8)
        if found.ndim == 3:
            lower[column].imshow(scaled(found), vmin=0, vmax=1, **grey)
        else:
            place = {"extent": (0, width, height, 0)}
            lower[column].imshow(photo.mean(-1), cmap="gray", **place)
            lower[column].imshow(found, alpha=0.6, interpolation="bilinear", **place)
        for axes in (upper[column], lower[column]):
            axes.set_axis_off()
    try:
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    except OSError as error:
        raise StorageError(
            f"--out {path}: {error.strerror}; is it writable?"
        ) from error


def scaled(picture: np.ndarray) -> np.ndarray:
    """To 0..1, what does nothing at the middle."""
    return 0.5 + 0.5 * picture / (np.abs(picture).max() or 1)


if __name__ == "__main__":
    sys.exit(main())
