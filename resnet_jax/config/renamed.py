"""Renamed fields of version 0.1."""

# Current path by path of version 1; fields of slots exist if their member is chosen.
MOVED = {
    "model.slope": "model.act.slope",
    "model.relays": "model.auxiliary_loss.stages",
    "model.links": "model.connectivity",
    "model.ghost_ratio": "model.operator.ratio",
    "model.ghost_kernel": "model.operator.kernel",
    "model.unit.stride_at": "model.unit.branch.stride_at",
    "model.unit.cardinality": "model.unit.branch.cardinality",
    "model.unit.group_width": "model.unit.branch.group_width",
    "model.unit.sweeps": "model.unit.tableau.sweeps",
    "model.unit.mg_group": "model.unit.branch.group",
    "model.unit.mg_coarsest": "model.unit.branch.coarsest",
    "model.unit.gating_bias": "model.unit.join.bias",
    "model.unit.dropout_rate": "model.unit.join.rate",
    "model.unit.se_reduction": "model.unit.gate.reduction",
    "model.unit.se_place": "model.unit.gate.place",
    "model.unit.survival": "model.unit.stochastic_depth.survival_prob",
    "model.unit.arms": "model.unit.num_branches",
    "model.unit.noise_rate": "model.unit.noise.rate",
    "model.unit.noise_block": "model.unit.noise.block",
    "data.policy_operations": "data.policy.operations",
    "data.policy_magnitude": "data.policy.magnitude",
    "data.mix_alpha": "data.mix.alpha",
    "data.mix_probability": "data.mix.probability",
    "optim.boundaries": "optim.schedule.boundaries",
    "optim.factor": "optim.schedule.decay_factor",
    "optim.warmup": "optim.warmup.steps",
    "optim.warmup_rate": "optim.warmup.learning_rate",
    "train.relay_weight": "model.auxiliary_loss.weight",
    "train.max_skips": "train.max_nonfinite_updates",
}

# With renamed fields that only the error message for an old name knows.
RENAMED = MOVED | {
    "model.unit.scales": "model.unit.join.shortcut and model.unit.join.branch",
    "model.unit.dropped": "model.unit.stochastic_depth, drop or shake_drop",
    "optim.warmup_kind": "optim.warmup, constant or linear",
}
