"""``pytest --nbmake tutorials`` runs every tutorial from a clean kernel in which a warning is an error.

``PYRO_MIXVAE_SMOKE=1`` before it: smoke mode, in which everything runs but briefly, as in CI.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

STARTUP = """
import warnings

warnings.simplefilter("error")
# the kernel tells itself, when it is shut down, what its next version may ask of it
warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="ipykernel")
"""


def pytest_configure(config: pytest.Config) -> None:
    """Give the kernels a profile of their own: the user's may hold anything."""
    place = tempfile.TemporaryDirectory(prefix="ipython-")
    config.add_cleanup(place.cleanup)
    startup = Path(place.name) / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-warnings-are-errors.py").write_text(STARTUP)
    os.environ["IPYTHONDIR"] = place.name
