"""Makes policies.npz: operations of policies by torchvision and Pillow.

    python tests/golden/make_policies.py           (with torchvision) the arrays
    python tests/golden/make_policies.py --table   (with JAX) the table of the docs

The tests read policies.npz only. A key SAMPLING/OPERATION/ARGUMENT/PICTURE holds what
becomes of a picture: of nearest pixels by the operations of torchvision's RandAugment,
which the script compares with Pillow's own, and bilinear as AugMix's code calls Pillow.
Of the large picture some rows are kept. SPACE/SIDE/MAGNITUDE are the magnitudes of
torchvision's RandAugment, in the order of its operations.
"""

import argparse
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).parent
ARRAYS, PAGE = HERE / "policies.npz", HERE.parents[1] / "docs" / "augmentation.md"
SIDES = (32, 224)
ROWS = {32: slice(None), 224: np.array([0, 1, 112, 222, 223])}
PICTURES = {"noise": 32, "shapes": 32, "large": 224}
MAGNITUDES = (9, 27)  # of torchvision's 30
ENHANCED = (0.19, 0.73, 1.81)
NEAREST = {
    "invert": (0,), "autocontrast": (0,), "equalize": (0,), "solarize": (25.5, 178.5),
    "posterize": (4, 7), "colour": ENHANCED, "contrast": ENHANCED,
    "brightness": ENHANCED, "sharpness": ENHANCED, "rotate": (27.0, -9.0),
    "shear_x": (0.27, -0.09), "shear_y": (0.27, -0.09), "translate_x": (3, -9),
    "translate_y": (9, -3),
}  # fmt: skip
BILINEAR = {
    "rotate": (8, -27), "shear_x": (0.0873, -0.27), "shear_y": (0.0873, -0.27),
    "translate_x": (3, -9), "translate_y": (9, -3),
}  # fmt: skip
CASES = [
    (sampling, name, argument)
    for sampling, cases in (("nearest", NEAREST), ("bilinear", BILINEAR))
    for name, arguments in cases.items()
    for argument in arguments
]


def drawn() -> dict[str, np.ndarray]:
    """Pictures of 32 pixels, and the tile of the large one."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    disc = (x - 12) ** 2 + (y - 18) ** 2 < 70
    ramps = np.stack([3 * x + 40, 2 * y + 60, x + y + 90], -1)
    shapes = np.where(disc[..., None], [200, 90, 30], ramps)
    shapes = shapes + generator.integers(0, 6, (32, 32, 3))
    return {
        "noise": generator.integers(0, 256, (32, 32, 3)).astype(np.uint8),
        "shapes": shapes.astype(np.uint8),
        "tile": generator.integers(0, 24, (16, 16, 3)).astype(np.uint8),
    }


def large(tile: np.ndarray) -> np.ndarray:
    """The picture of 224 pixels: ramps, a disc, and the tile repeated and enlarged."""
    y, x = np.mgrid[:224, :224]
    disc = (x - 90) ** 2 + (y - 130) ** 2 < 3500
    ramps = np.stack([x // 2 + 30, y // 2 + 50, (x + y) // 3 + 40], -1)
    ramps = np.where(disc[..., None], [210, 100, 20], ramps)
    fine = np.tile(tile, (14, 14, 1)) * (x > y)[..., None]
    return (ramps + fine).astype(np.uint8)


def pictures(stored) -> dict[str, np.ndarray]:
    """Pictures by name, from the stored ones and the tile."""
    return {
        "noise": stored["noise"],
        "shapes": stored["shapes"],
        "large": large(stored["tile"]),
    }


def key(case: tuple, picture: str) -> str:
    return "/".join(map(str, (*case, picture)))


def made() -> dict[str, np.ndarray]:
    """All arrays, by torchvision and Pillow."""
    from PIL import Image

    arrays = drawn()
    for name, picture in pictures(arrays).items():
        for case in CASES:
            found = by_pillow(Image.fromarray(picture), *case)
            if case[0] == "nearest":
                other = by_torchvision(Image.fromarray(picture), *case[1:])
                assert np.array_equal(found, other), (name, case)
            arrays[key(case, name)] = np.asarray(found)[ROWS[len(picture)]]
    return arrays | spaces()


def by_pillow(image, sampling: str, name: str, argument: float):
    """An operation by Pillow, as the code of AutoAugment and AugMix calls it."""
    from PIL import Image, ImageEnhance, ImageOps

    resample = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR}[sampling]
    matrices = {
        "shear_x": (1, argument, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, argument, 1, 0),
        "translate_x": (1, 0, argument, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, argument),
    }
    if name in matrices:
        return image.transform(image.size, Image.AFFINE, matrices[name], resample)
    if name == "rotate":
        return image.rotate(argument, resample)
    if name in ("invert", "autocontrast", "equalize"):
        return getattr(ImageOps, name)(image)
    if name in ("solarize", "posterize"):
        return getattr(ImageOps, name)(image, argument)
    word = "Color" if name == "colour" else name.capitalize()
    return getattr(ImageEnhance, word)(image).enhance(argument)


def by_torchvision(image, name: str, argument: float):
    """An operation of torchvision's AutoAugment and RandAugment."""
    from torchvision.transforms import autoaugment
    from torchvision.transforms.functional import InterpolationMode

    words = {"colour": "Color", "autocontrast": "AutoContrast"}
    word = words.get(name) or name.title().replace("_", "")
    if name in ("colour", "contrast", "brightness", "sharpness"):
        argument = argument - 1  # of an enhancement, what is added to 1
    if name.startswith("translate"):
        argument = -argument  # to the right and downwards there
    return autoaugment._apply_op(
        image, word, argument, InterpolationMode.NEAREST, fill=None
    )


def spaces() -> dict[str, np.ndarray]:
    """Magnitudes of torchvision's RandAugment for images of both sides."""
    from torchvision.transforms.autoaugment import RandAugment

    found = {}
    for side in SIDES:
        space = RandAugment()._augmentation_space(31, (side, side))
        for magnitude in MAGNITUDES:
            values = [v[magnitude] if v.ndim else v for v, _ in space.values()]
            found[f"space/{side}/{magnitude}"] = np.array(values, np.float64)
    return found


def by_jax(picture: np.ndarray, sampling: str, name: str, argument: float):
    """An operation of the package."""
    import jax
    import jax.numpy as jnp

    from resnet_jax.data.augment import affine, operations

    image = jnp.asarray(picture, jnp.float32)
    if name in operations.POINTWISE:
        return jax.jit(operations.POINTWISE[name])(image, jnp.float32(argument))
    maps = {
        "rotate": lambda degrees: affine.rotation(degrees, *picture.shape[:2]),
        "shear_x": affine.shear_x,
        "shear_y": affine.shear_y,
        "translate_x": affine.translation_x,
        "translate_y": affine.translation_y,
    }
    matrix = maps[name](argument)
    if sampling == "nearest":
        return jax.jit(affine.nearest)(image, affine.fixed_point(matrix))
    return jax.jit(affine.bilinear)(image, np.array(matrix, np.float32))


def differences() -> dict[tuple[str, int], tuple[int, float]]:
    """Largest difference in grey levels, and share of unequal values, by operation."""
    with np.load(ARRAYS) as stored:
        found: dict[tuple[str, int], list] = {}
        for name, picture in pictures(stored).items():
            for case in CASES:
                ours = np.asarray(by_jax(picture, *case))[ROWS[len(picture)]]
                gap = np.abs(ours - stored[key(case, name)])
                label = case[1] if case[0] == "nearest" else f"{case[1]}, bilinear"
                found.setdefault((label, len(picture)), []).append(gap.ravel())
    joined = {k: np.concatenate(gaps) for k, gaps in found.items()}
    return {k: (int(gap.max()), float((gap > 0).mean())) for k, gap in joined.items()}


def table(found: dict[tuple[str, int], tuple[int, float]]) -> str:
    """Markdown table of the differences."""
    lines = ["| operation | 32 pixels | 224 pixels |", "|---|---|---|"]
    for name in dict.fromkeys(name for name, _ in found):
        cells = [found[name, side] for side in SIDES]
        shown = [f"{gap} ({100 * share:.2g} %)" if gap else "0" for gap, share in cells]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def documented() -> dict[tuple[str, int], int]:
    """Largest differences by operation and side, of the table in the docs."""
    lines = PAGE.read_text().partition("| operation |")[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {
        (name, side): int(cell.split()[0])
        for name, *cells in rows
        for side, cell in zip(SIDES, cells, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true")
    if parser.parse_args().table:
        sys.path.insert(0, str(HERE.parents[1]))
        before, bar, _ = PAGE.read_text().partition("| operation |")
        assert bar, f"{PAGE} has no table"
        PAGE.write_text(before + table(differences()))
    else:
        np.savez_compressed(ARRAYS, **made())


if __name__ == "__main__":
    main()
