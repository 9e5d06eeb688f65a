"""Training: one function, one Lightning module, for every model."""

from pyro_mixvae.infer.update import Update
from pyro_mixvae.training.errors import CannotWrite, ProcessLost, TrainingDiverged
from pyro_mixvae.training.fit import FitResult, fit
from pyro_mixvae.training.start import start_mixture
from pyro_mixvae.training.warmup import LinearWarmup

__all__ = [
    "CannotWrite",
    "FitResult",
    "LinearWarmup",
    "ProcessLost",
    "TrainingDiverged",
    "Update",
    "fit",
    "start_mixture",
]
