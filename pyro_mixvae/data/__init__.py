"""Real and synthetic data sets, and batches of them: ``Batches(load("digits").train, batch_size=100)``."""

from .batches import Batches
from .binarize import bernoulli_draw, binarized, fixed_draw
from .checks import check_data, check_labels
from .dataset import DataSet, Split, Transform, as_float
from .files import MissingDataError
from .loading import load, names

__all__ = [
    "Batches",
    "DataSet",
    "MissingDataError",
    "Split",
    "Transform",
    "as_float",
    "bernoulli_draw",
    "binarized",
    "check_data",
    "check_labels",
    "fixed_draw",
    "load",
    "names",
]
