"""Makes resnet20.npz and preact29.npz: ten SGD steps of PyTorch in float64.

python tests/golden/make_traces.py (with PyTorch; the tests read the files only)

The networks are written here from the papers, apart from the package. A file holds
    losses   [steps]       of the batch, before its update
    paths    [arrays]      params/... and batch_stats/..., units stacked as in layout.py
    digests  [2 arrays 3]  of every array after the first and after the last step
"""

import pathlib

import layout
import numpy as np
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).parent


class Variables:
    """Parameters and running statistics, read by path below a prefix and a unit."""

    def __init__(self, params: dict, stats: dict, prefix: str = "", unit=...):
        self.params, self.stats, self.prefix, self.unit = params, stats, prefix, unit

    def at(self, prefix: str, unit=...) -> "Variables":
        return Variables(self.params, self.stats, f"{self.prefix}{prefix}/", unit)

    def has(self, name: str) -> bool:
        return self.prefix + name in self.params

    def conv(self, x, name, strides=1):
        kernel = self.params[f"{self.prefix}{name}/kernel"][self.unit]
        kernel = kernel.permute(3, 2, 0, 1)  # HWIO -> OIHW
        return F.conv2d(x, kernel, stride=strides, padding=kernel.shape[-1] // 2)

    def norm_relu(self, x, name):
        return F.relu(self.norm(x, name))

    def norm(self, x, name):
        path = self.prefix + name
        mean, var = (
            self.stats[f"{path}/{leaf}"][self.unit] for leaf in ("mean", "var")
        )
        scale, bias = (
            self.params[f"{path}/{leaf}"][self.unit] for leaf in ("scale", "bias")
        )
        # updates mean and var, which are views, in place
        return F.batch_norm(x, mean, var, scale, bias, True, momentum=0.1, eps=1e-5)

    def head(self, x):
        x = x.mean(dim=(2, 3))
        return x @ self.params["head/kernel"] + self.params["head/bias"]

    def units(self, stage: int):
        """The units of a stage: the first by itself, the rest sliced from the stack."""
        yield self.at(f"stage{stage}/first")
        for k in range(2):
            yield self.at(f"stage{stage}/rest", k)


def resnet20(v: Variables, x):
    """He et al. 2016a, Sec. 4.2, shortcut A."""
    x = v.norm_relu(v.conv(x, "stem_conv"), "norm_stem")
    for stage in (1, 2, 3):
        for k, unit in enumerate(v.units(stage)):
            strides = 2 if stage > 1 and k == 0 else 1
            y = unit.conv(x, "branch/conv1", strides)
            y = unit.conv(unit.norm_relu(y, "branch/norm_1"), "branch/conv2")
            y = unit.norm(y, "branch/norm_2")
            x = x[:, :, ::strides, ::strides]
            x = F.relu(y + F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1])))
    return v.head(x)


def preact29(v: Variables, x):
    """He et al. 2016b; the first unit of a stage feeds both its paths from one norm."""
    x = v.norm_relu(v.conv(x, "stem_conv"), "norm_stem")
    for stage in (1, 2, 3):
        for k, unit in enumerate(v.units(stage)):
            strides = 2 if stage > 1 and k == 0 else 1
            before = unit.has("norm_before/scale")
            a = unit.norm_relu(x, "norm_before") if before else x
            h = unit.conv(a, "shortcut_conv", strides) if k == 0 else x
            y = unit.conv(a, "branch/conv1", strides)
            y = unit.conv(unit.norm_relu(y, "branch/norm_1"), "branch/conv2")
            y = unit.conv(unit.norm_relu(y, "branch/norm_2"), "branch/conv3")
            x = h + y
    return v.head(v.norm_relu(x, "norm_head"))


def trained(network: str, forward, **sgd) -> dict:
    """Losses and digests of ten steps; with Nesterov, lr drops to a tenth at step 5."""
    params, stats = layout.params(network), layout.statistics(network)
    params = {p: torch.tensor(a, requires_grad=True) for p, a in params.items()}
    stats = {p: torch.tensor(a) for p, a in stats.items()}
    optim = torch.optim.SGD(
        params.values(), lr=0.1, momentum=0.9, weight_decay=1e-4, **sgd
    )
    losses, digests = [], []
    for step in range(layout.STEPS):
        if sgd.get("nesterov") and step == 5:
            optim.param_groups[0]["lr"] = 0.1 * 0.1
        images, labels = (torch.tensor(a) for a in layout.batch(step))
        logits = forward(Variables(params, stats), images.permute(0, 3, 1, 2))
        loss = F.cross_entropy(logits, labels)
        optim.zero_grad()
        loss.backward()
        optim.step()
        losses.append(loss.item())
        if step in (0, layout.STEPS - 1):
            arrays = named(params, stats)
            digests.append([layout.digest(p, a) for p, a in arrays.items()])
    return {"losses": losses, "paths": list(arrays), "digests": np.array(digests)}


def named(params: dict, stats: dict) -> dict:
    trees = {"params": params, "batch_stats": stats}
    return {
        f"{tree}/{path}": array.detach().numpy()
        for tree, arrays in trees.items()
        for path, array in arrays.items()
    }


def main():
    runs = {
        "resnet20": trained("resnet20", resnet20),
        "preact29": trained("preact29", preact29, nesterov=True),
    }
    for network, run in runs.items():
        np.savez_compressed(FOLDER / f"{network}.npz", **run)
        print(network, *(f"{loss:.4f}" for loss in run["losses"]))


if __name__ == "__main__":
    main()
