"""The TPU compiler on a machine without TPUs: installed for `spo plan`, quiet everywhere else."""

import importlib.util
import os
from pathlib import Path

_GOOGLE = "0x1ae0"  # PCI vendor, as in jax/_src/hardware_utils.py
# With both set libtpu finds no TPU without complaints about what it could not find out.
_ANSWERS = {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_ACCELERATOR_TYPE": "v5litepod-4"}


def quiet_absent_tpus() -> None:
    """Keeps libtpu from writing errors to stderr whenever JAX starts where no TPU is."""
    if not _has_compiler() or _has_tpu():
        return
    for name, value in _ANSWERS.items():
        os.environ.setdefault(name, value)


def _has_compiler() -> bool:
    return importlib.util.find_spec("libtpu") is not None


def _has_tpu() -> bool:
    vendors = Path("/sys/bus/pci/devices").glob("*/vendor")
    return any(vendor.read_text().strip() == _GOOGLE for vendor in vendors)
