"""What a report says of the machine and of the versions."""

import os
import platform
from pathlib import Path
from typing import Any

import torch

from mt_trainer.machine import commit
from peers.environments import ENVIRONMENTS


def about_machine() -> dict[str, Any]:
    """CPU or GPU, cores, versions, commit; the peers' versions are those that are pinned."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="ascii", errors="ignore").splitlines() if cpuinfo.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
        "peers": {name: list(requirements) for name, requirements in ENVIRONMENTS.items()},
    }
