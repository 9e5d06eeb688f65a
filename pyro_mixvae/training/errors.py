"""What can go wrong in a training, by name."""

from __future__ import annotations


class TrainingDiverged(RuntimeError):
    """A loss that is not finite: the message names the term, the site and the step; the last good checkpoint stays."""


class CannotWrite(OSError):
    """A file of a run that could not be written: which, why, and what of the run is safe."""


class ProcessLost(RuntimeError):
    """Another process of a data-parallel training is no more; the checkpoint of the last complete epoch stays."""
