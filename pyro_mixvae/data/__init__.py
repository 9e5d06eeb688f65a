"""Real and synthetic data sets, and batches of them: ``Batches(load("digits").train, batch_size=100)``."""

from .batches import Batches
from .binarize import bernoulli_draw, binarized, fixed_draw
from .checks import check_data, check_labels
from .dataset import DataSet, Split, Transform, as_float
from .files import MissingDataError
from .flips import flipped, horizontal_flips
from .labelled_batches import LabelledBatches
from .loading import load, names
from .value_range import ranged

__all__ = [
    "Batches",
    "DataSet",
    "LabelledBatches",
    "MissingDataError",
    "Split",
    "Transform",
    "as_float",
    "bernoulli_draw",
    "binarized",
    "check_data",
    "check_labels",
    "fixed_draw",
    "flipped",
    "horizontal_flips",
    "load",
    "names",
    "ranged",
]
