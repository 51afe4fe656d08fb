"""Migration of configs of older versions to the current fields."""

from collections.abc import Mapping

from resnet_jax.config.merge import Merge, nested
from resnet_jax.config.renamed import MOVED
from resnet_jax.config.schema import VERSION, Config
from resnet_jax.errors import ConfigError
from resnet_jax.paths import Tree, Value, flat, listed

# Defaults of version 1, which had the same fields for all families.
FIRST = {
    "model.name": "cifar_resnet", "model.depth": 20, "model.width": 1.0,
    "model.variant": "", "model.size": "cifar", "model.growth": None,
    "model.compression": 1.0, "model.links": "dense", "model.levels": [],
    "model.relays": [], "model.operator": "none", "model.ghost_ratio": 2,
    "model.ghost_kernel": 3, "model.ghost_share": 0.0, "model.num_classes": None,
    "model.act": "relu", "model.slope": None, "model.init": "he_fan_out",
    "model.depth_mode": "scan",
    "model.unit.branch": "auto", "model.unit.stride_at": "1x1",
    "model.unit.cardinality": 1, "model.unit.group_width": 64.0,
    "model.unit.kernels": [3, 3], "model.unit.tableau": "rk4", "model.unit.sweeps": 1,
    "model.unit.mg_group": 32, "model.unit.mg_coarsest": 32,
    "model.unit.order": "original", "model.unit.shortcut": "B",
    "model.unit.join": "add", "model.unit.scales": [0.5, 0.5],
    "model.unit.gating_bias": -6.0, "model.unit.dropout_rate": 0.5,
    "model.unit.gate": "none", "model.unit.se_reduction": 16,
    "model.unit.se_place": "standard", "model.unit.survival": 1.0,
    "model.unit.dropped": "closed", "model.unit.arms": 1, "model.unit.noise": "none",
    "model.unit.noise_rate": 0.3, "model.unit.noise_block": 7,
    "model.norm.dialect": "torch", "model.norm.group": "global",
    "model.norm.momentum": None, "model.norm.epsilon": None, "model.norm.precise": 0,
    "data.name": "digits", "data.dir": None, "data.batch_size": 128,
    "data.split": "full", "data.feed": "auto", "data.augment": "none",
    "data.normalize": None, "data.sizes": [], "data.workers": 0, "data.policy": "none",
    "data.policy_operations": 2, "data.policy_magnitude": 9.0, "data.cutout": 0,
    "data.erasing": 0.0, "data.mix": "none", "data.mix_alpha": 1.0,
    "data.mix_probability": 1.0,
    "optim.name": "sgd", "optim.learning_rate": 0.1, "optim.momentum": 0.9,
    "optim.dampening": 0.0, "optim.dialect": "torch", "optim.nesterov": "none",
    "optim.weight_decay": 1e-4, "optim.decay": "all", "optim.schedule": "steps",
    "optim.boundaries": [0.5, 0.75], "optim.factor": 0.1, "optim.warmup": 0,
    "optim.warmup_kind": "constant", "optim.warmup_rate": 0.01,
    "train.epochs": None, "train.iterations": None, "train.steps": None,
    "train.dtype": "float32", "train.spmd": "jit", "train.steps_per_call": None,
    "train.eval_every": None, "train.checkpoint_every": None, "train.accumulate": 1,
    "train.label_smoothing": 0.0, "train.relay_weight": 1.0, "train.ema": 0.0,
    "train.max_skips": 0, "train.tensorboard": "off", "train.seeds": [],
    "seed": 0,
}  # fmt: skip


def migrated(config: Mapping[str, object]) -> tuple[Tree, list[str]]:
    """(current tree, messages about fields that were set and never read).

    `config` is the content of config.json without derived values. ConfigError if it is
    of a newer version, or no config at all.
    """
    own = {k: value for k, value in config.items() if k not in ("schema", "run")}
    version = config.get("schema", 1)
    if version not in (1, VERSION):
        raise ConfigError(
            f"schema={version!r}: is not known here, up to {VERSION} are; was it "
            "written by a newer version of resnet_jax?"
        )
    _refuse_old_augmix(own)
    try:
        if version == VERSION:
            merge = Merge()
            return merge.section(Config, Config().to_dict(), own), merge.problems
        return _from_first(FIRST | {path: listed(v) for path, v in flat(own).items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"is no config of this package ({error})") from error


def _refuse_old_augmix(config: Mapping[str, object]) -> None:
    """ConfigError for the policy whose operations and levels nothing makes today."""
    found = flat(config)
    word = found.get("data.policy.name", found.get("data.policy"))
    paths = ("data.policy.magnitude", "data.policy_magnitude")
    old = [path for path in paths if path in found]
    if word == "augmix" and old:
        raise ConfigError(
            f"{old[0]}={found[old[0]]!r}: is of an earlier version of AugMix, whose "
            "operations and levels are not made any more; begin a new run, with "
            "data.policy.severity"
        )


def _from_first(old: Tree) -> tuple[Tree, list[str]]:
    """Migrate a config of version 1 with all of its fields."""
    tree, unread = Config().to_dict(), []
    slots = _chosen_members(old)
    moves = [(path, slot, word) for slot, (path, word) in slots.items()]
    for path, value in old.items():
        new, value = _current(path, value, old)
        if new not in slots or isinstance(value, dict):
            moves.append((path, new, value))
    expressed = _expressed(old)
    for path, new, value in moves:
        if value is None or (path in expressed and path == new):
            continue
        if changed := _changed(tree, new, value):
            tree = changed
        elif old[path] != FIRST.get(path):
            unread.append(f"{path}={old[path]!r}: was set and never read; left out")
    return tree, unread


def _changed(tree: Tree, path: str, value: Value) -> Tree | None:
    """Tree with a field changed; None if the chosen members have no such field."""
    merge = Merge()
    changed = merge.section(Config, tree, nested({path: value}))
    return None if merge.problems else changed


def _chosen_members(old: Tree) -> dict[str, tuple[str, Value]]:
    """Field of version 1 that decides on each current slot, and the chosen member."""
    shaken = old["model.unit.dropped"] == "shaken"
    depth = "shake_drop" if shaken else "drop"
    normed = old["model.norm.dialect"] != "none"
    same = (
        "model.name", "model.act", "model.operator", "model.unit.tableau",
        "model.unit.join", "model.unit.gate", "model.unit.noise", "data.policy",
        "data.mix", "optim.name", "optim.schedule",
    )  # fmt: skip
    return {path: (path, old[path]) for path in same} | {
        "model.norm": ("model.norm.dialect", "batch" if normed else "none"),
        "model.auxiliary_loss": (
            "model.relays",
            "relay" if old["model.relays"] else "none",
        ),
        "model.unit.branch": ("model.unit.branch", _branch(old)),
        "model.unit.stochastic_depth": (
            "model.unit.survival",
            depth if old["model.unit.survival"] < 1 else "none",
        ),
        "optim.warmup": (
            "optim.warmup",
            old["optim.warmup_kind"] if old["optim.warmup"] else "none",
        ),
    }


def _branch(old: Tree) -> str:
    """Word of the branch; bottlenecks implied by the depth are named if varied."""
    name, branch = old["model.name"], old["model.unit.branch"]
    if branch != "auto":
        return branch
    if name in ("densenet", "rk_resnet"):
        return "single" if name == "densenet" else "basic"
    deep = name in ("imagenet_resnet", "resnet_3d") and old["model.depth"] >= 50
    if deep and _varied(old, "stride_at", "cardinality", "group_width"):
        return "bottleneck"
    if name == "mgic_net" and _varied(old, "mg_group", "mg_coarsest"):
        return "multigrid"
    return "auto"


def _varied(old: Tree, *fields: str) -> bool:
    """True if a field of the unit is not the default."""
    paths = [f"model.unit.{field}" for field in fields]
    return any(old[path] != FIRST[path] for path in paths)


def _expressed(old: Tree) -> set[str]:
    """Fields of version 1 that are expressed by the choice of members."""
    name = old["model.name"]
    dense = name.startswith("densenet")
    by_members = {
        "model.norm.dialect": old["model.norm.dialect"] == "none",
        "model.variant": old["model.variant"] == "",
        "model.unit.shortcut": old["model.unit.shortcut"] == "none"
        and (dense or name == "plain"),
        "model.unit.noise": old["model.unit.noise"] == "dropout" and dense,
        "model.unit.dropped": old["model.unit.survival"] < 1,
        "optim.warmup_kind": old["optim.warmup"] > 0,
    }
    return {path for path, is_member in by_members.items() if is_member}


def _current(path: str, value: Value, old: Tree) -> tuple[str, Value]:
    """Current path and value of a field of version 1; value None: nothing to set."""
    name = old["model.name"]
    dense = name.startswith("densenet")
    match path:
        case "model.ghost_ratio" | "model.ghost_kernel" if name == "ghostnet":
            return path.replace("model.ghost_", "model.ghost."), value
        case "model.unit.scales" if old["model.unit.join"] == "scaled":
            return "model.unit.join", dict(
                zip(("shortcut", "branch"), value, strict=True)
            )
        case "model.unit.noise_rate" if dense:
            dropout = old["model.unit.noise"] == "dropout"
            return "model.unit.dropout", value if dropout else None
        case "optim.momentum" if old["optim.name"] == "adamw":
            return "optim.beta1", value
        case "optim.nesterov":
            return path, value == "nesterov"
        case "train.tensorboard":
            return path, value == "on"
    return MOVED.get(path, path), value
