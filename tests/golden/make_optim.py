"""Makes optim.json: ten steps of torch.optim.SGD and AdamW in float64.

python tests/golden/make_optim.py (with PyTorch; the tests read the file only)

The problem: dL/dp = curvature * (p - target[step]), so that the gradient depends on the
parameters, as it does in a network. A case's "spec" holds fields of OptimSpec.
"""

import json
import pathlib

import numpy as np
import torch

STEPS, BOUNDARY = 10, 5
SHAPES = {"kernel": (2, 3), "scale": (2, 2), "slope": (3,)}
SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
ADAMW = {"name": "adamw", "learning_rate": 0.05, "weight_decay": 0.1, "beta2": 0.99}
CASES = {
    "plain": {"learning_rate": 0.1, "momentum": 0.0, "weight_decay": 0.01},
    "momentum": SGD,
    "dampening": SGD | {"dampening": 0.5},
    "nesterov": SGD | {"nesterov": True},
    "kernels": SGD | {"decay": "kernels"},
    "adamw": ADAMW,
    "adamw_kernels": ADAMW | {"decay": "kernels", "epsilon": 1e-3},
}


def optimizer(params: dict, spec: dict) -> torch.optim.Optimizer:
    """One group of parameters that decay and one of those that do not, by name."""
    decaying = {"kernel"} if spec.get("decay") == "kernels" else {"kernel", "scale"}
    groups = [
        {"params": [p], "weight_decay": spec["weight_decay"] * (name in decaying)}
        for name, p in params.items()
    ]
    if spec.get("name") == "adamw":
        betas, eps = (0.9, spec["beta2"]), spec.get("epsilon", 1e-8)
        return torch.optim.AdamW(groups, spec["learning_rate"], betas, eps)
    return torch.optim.SGD(
        groups,
        spec["learning_rate"],
        spec["momentum"],
        spec.get("dampening", 0.0),
        nesterov=spec.get("nesterov", False),
    )


def run(spec: dict, start: dict, curvature: dict, target: dict) -> list:
    """The parameters after every step, the learning rate falling once to a tenth."""
    params = {name: torch.tensor(p) for name, p in start.items()}
    optim, after = optimizer(params, spec), []
    for step in range(STEPS):
        for group in optim.param_groups:
            drop = 0.1 if step >= BOUNDARY else 1.0
            group["lr"] = spec["learning_rate"] * drop
        for name, p in params.items():
            left = p - torch.tensor(target[name][step])
            p.grad = torch.tensor(curvature[name]) * left
        optim.step()
        after.append({name: p.tolist() for name, p in params.items()})
    return after


def main():
    rng = np.random.default_rng(0)
    problem = {
        "start": {name: rng.normal(size=s) for name, s in SHAPES.items()},
        "curvature": {name: rng.uniform(0.1, 2, s) for name, s in SHAPES.items()},
        "target": {name: rng.normal(size=(STEPS, *s)) for name, s in SHAPES.items()},
    }
    schedule = {"schedule": "steps", "boundaries": [BOUNDARY], "total_steps": STEPS}
    cases = {
        name: {"spec": spec | schedule, "after": run(spec, **problem)}
        for name, spec in CASES.items()
    }
    problem = {
        key: {name: array.tolist() for name, array in arrays.items()}
        for key, arrays in problem.items()
    }
    text = json.dumps({"torch": torch.__version__, "problem": problem, "cases": cases})
    pathlib.Path(__file__).with_name("optim.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
