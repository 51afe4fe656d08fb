"""Draw image gradients or class activation maps of a trained network.

  python -m resnet_jax.saliency --workdir DIR --method guided --out seen.png
  python -m resnet_jax.saliency --workdir DIR --method cam --out maps.pdf

  --workdir DIR     the folder of a run; only read
  --method METHOD   drawn below each image:
    gradient    the derivative of a neuron with respect to the image
    deconvnet   with R = 1[R' > 0] R' as the gradient of each rectifier's input, R' of
                its output (Zeiler & Fergus 2014)
    guided      with R = 1[f > 0] 1[R' > 0] R' (Springenberg et al. 2015)
    cam         the map whose mean over the image is the logit of the predicted class
                (Zhou et al. 2016); for nets that end with a global mean
  --out FILE        the figure, as .png, .pdf or .svg
  --layer PATH      use the most active neuron of a layer, e.g. norm_7 or
                    stage2/rest/0/branch/conv1 (the second unit of a stage; those of
                    a loop count from 0), instead of that of the predicted class
  --images N        number of test images, from the first on (default 8)
  --best            use the checkpoint of the best validation error, not the last one
  --data_dir DIR    folder of the data set, by default the config's
  --debug           show tracebacks of errors that a user can cause

Exit codes: 0 done, 2 config or usage, 3 data, 4 checkpoint, 6 the figure cannot be
written.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from resnet_jax import cli

METHODS = ("gradient", "deconvnet", "guided", "cam")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the command line `argv`."""
    return cli.run(_saliency, argv, text=__doc__)


def _saliency(arguments: Sequence[str]) -> None:
    options = parse(arguments)
    cli.prepare_jax()
    from resnet_jax.analysis.saliency import saliency  # imports jax
    from resnet_jax.report import saliency_figure  # imports matplotlib
    from resnet_jax.train import trained

    where, which = options.workdir, options.which
    net = trained.load(where, which=which, data_dir=options.data_dir)
    found = saliency(net, options.method, count=options.images, layer=options.layer)
    saliency_figure.draw(
        options.out,
        found.images,
        found.maps,
        labels=found.labels,
        predicted=found.predicted,
    )
    print(f"{options.out}: {options.method} on {len(found.labels)} test images")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; ConfigError for those that exclude each other."""
    parser = cli.Parser("resnet_jax.saliency")
    parser.add_run()
    parser.add_argument("--method", required=True, choices=METHODS)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--layer")
    parser.add_argument("--images", type=int, default=8)
    options = parser.parse_args(arguments)
    if not 1 <= options.images <= 64:
        parser.error(f"--images={options.images}: must be from 1 to 64")
    if options.layer and options.method == "cam":
        parser.error(f"--layer={options.layer}: --method=cam has no neuron")
    cli.check_figure_path(options.out, option="--out")
    return options


if __name__ == "__main__":
    sys.exit(main())
