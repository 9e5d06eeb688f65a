"""The MVAE's dHSIC term: which batches have one, and its value in the pair's plates."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_mixvae.divergences import dhsic
from pyro_mixvae.divergences.dhsic import Bandwidth


class BatchSizes:
    """Which batches are long enough for dHSIC: a last one may be too short, the first may not.

    Attributes:
        short: how many training batches were too short.
    """

    def __init__(self) -> None:
        self.short = 0
        self._longest = 0

    def suffice(self, num_data: int, num_components: int, training: bool) -> bool:
        """Whether a batch has the 2 K data that dHSIC needs.

        Raises:
            ValueError: in training, where no batch before it had them either.
        """
        needed = 2 * num_components
        if not training or num_data >= needed:
            self._longest = max(self._longest, num_data if training else 0)
            return num_data >= needed
        if self._longest < needed:
            raise ValueError(
                f"batch_size: dHSIC of {num_components} components needs batches of {needed} data or more, got "
                f"{num_data}; take larger batches, or beta 0"
            )
        self.short += 1
        return False


def dependence(z: Tensor, bandwidth: Bandwidth = None) -> Tensor:
    """dHSIC of the codes in plates "components" and "data", one number expanded over the data.

    Args:
        z: codes, [K, B, D], or [\\*, K, B, D] with particles.
        bandwidth: of the kernels; None: the median heuristic.

    Returns:
        [B], or [\\*, 1, B].
    """
    *particles, _, num_data, _ = z.shape
    if not particles:
        return dhsic(z.unbind(), bandwidth).expand(num_data)
    values = torch.stack([dhsic(codes.unbind(), bandwidth) for codes in z.flatten(0, -4)])
    return values.reshape(*particles, 1, 1).expand(*particles, 1, num_data)
