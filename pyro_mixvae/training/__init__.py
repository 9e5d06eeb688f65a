"""Training: one function, one Lightning module, for every model."""

from pyro_mixvae.training.errors import TrainingDiverged
from pyro_mixvae.training.fit import FitResult, fit
from pyro_mixvae.training.updates import Update
from pyro_mixvae.training.warmup import LinearWarmup

__all__ = ["FitResult", "LinearWarmup", "TrainingDiverged", "Update", "fit"]
