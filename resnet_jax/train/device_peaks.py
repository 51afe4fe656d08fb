"""Peak rates of devices from their data sheets."""

import jax

# FLOP/s of dense products in bfloat16, and of float32 at JAX's default precision: TF32
# on these GPUs, bfloat16 on a TPU.
# A100, H100, H200: NVIDIA's data sheets, half of what they list with sparsity.
# TPU: cloud.google.com/tpu/docs/v3, v4, v5e, v5p; v2: Jouppi et al. 2020, "A Domain-
# Specific Supercomputer for Training DNNs", Table 3. A device of v2 and v3 is a
# core, half a chip; "TPU v5 lite" is v5e and "TPU v5" v5p.
A100, HOPPER_SXM, HOPPER_NVL = (312e12, 156e12), (989e12, 494e12), (835e12, 417e12)
PEAKS = {
    "NVIDIA A100-PCIE-40GB": A100,
    "NVIDIA A100-SXM4-40GB": A100,
    "NVIDIA A100 80GB PCIe": A100,
    "NVIDIA A100-SXM4-80GB": A100,
    "NVIDIA H100 PCIe": (756e12, 378e12),
    "NVIDIA H100 NVL": HOPPER_NVL,
    "NVIDIA H100 80GB HBM3": HOPPER_SXM,
    "NVIDIA H200": HOPPER_SXM,
    "NVIDIA H200 NVL": HOPPER_NVL,
    "TPU v2": (23e12, 23e12),
    "TPU v3": (61.5e12, 61.5e12),
    "TPU v4": (275e12, 275e12),
    "TPU v5 lite": (197e12, 197e12),
    "TPU v5": (459e12, 459e12),
    "TPU v5p": (459e12, 459e12),
}


def peak(device_kind: str, *, dtype: str) -> float | None:
    """Peak FLOP/s of one device; None where unknown."""
    column = {"bfloat16": 0, "float32": 1}.get(dtype)
    precision = jax.config.jax_default_matmul_precision  # type: ignore
    other_precision = dtype == "float32" and precision
    if column is None or other_precision or device_kind not in PEAKS:
        return None
    return PEAKS[device_kind][column]


def images_per_s(multiply_adds: int, *, flops: float) -> float:
    """Upper bound on training images per second, from multiply-adds per image.

    Two operations per multiply-add, and three passes: forward, and backward for the
    images and for the parameters.
    """
    return flops / (2 * 3 * multiply_adds)
