"""What can go wrong in a training, by name."""

from __future__ import annotations


class TrainingDiverged(RuntimeError):
    """A loss that is not finite: the message names the term, the site and the step; the last good checkpoint stays."""
