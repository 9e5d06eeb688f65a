"""What every recorded measurement has in common: the machine, the versions, the command, and where the file lies."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
RESULTS, FIGURES = HERE / "results", HERE / "figures"
PACKAGES = ("pyro-mixvae", "torch", "pyro-ppl", "lightning", "numpy", "scikit-learn")


def machine() -> dict[str, Any]:
    """The processor, the number of cores and of torch's threads, the system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Python and the packages that a result depends on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def command() -> str:
    """What was typed, from the root of the repository."""
    return " ".join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])


def write_json(name: str, measured: Any) -> Path:
    """Write ``results/<name>.json`` with what it was measured by."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {"command": command(), "machine": machine(), "versions": versions(), "measured": measured}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def described(title: str, text: str) -> str:
    """The head of a page of results."""
    spec = machine()
    made = (
        f"`{command()}` on {spec['cpu']}, {spec['cores']} cores, {spec['threads']} threads; torch {torch.__version__}"
    )
    return f"# {title}\n\n{text}\n\nMade by {made}.\n"
