"""The conjugate prior of a mixture's weights."""

from __future__ import annotations

from typing import Any

import torch
from pyro.distributions import Dirichlet
from torch import Tensor

__all__ = ["MixingWeights"]


class MixingWeights(Dirichlet):
    r"""Pyro's Dirichlet with what conjugate inference needs, by the same names as :class:`NormalGamma`.

    .. math::
        p(\pi) = \Gamma(\textstyle\sum_k c_k) \prod_{k=1}^K \pi_k^{c_k - 1} / \Gamma(c_k)

    The natural parameters are :math:`\lambda = c - 1`, for the statistics :math:`t = \log\pi`. They are
    handled in double precision: small concentrations would lose digits beside the 1.

    :param concentration: c > 0, ``[*, K]``.
    :param validate_args: whether to check the concentrations.
    :raises ValueError: where there is no component, or a concentration is not allowed.

    Sampling, density, KL and ``conjugate_update`` are Pyro's and PyTorch's own.

    >>> q = MixingWeights(torch.tensor([1.0, 1.0, 2.0]))
    >>> q.updated(counts=torch.tensor([3.0, 0.0, 1.0]))
    MixingWeights(concentration: torch.Size([3]))
    >>> q.updated(counts=torch.tensor([3.0, 0.0, 1.0])).mean
    tensor([0.5000, 0.1250, 0.3750])
    """

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1 or concentration.shape[-1] < 1:
            raise ValueError(f"concentration must be [*, K] with K >= 1, got {list(concentration.shape)}")
        super().__init__(concentration, validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> MixingWeights:
        """The same distribution for a larger batch.

        :param batch_shape: the new batch shape.
        :return: the expanded distribution; its concentrations are views.

        >>> MixingWeights(torch.ones(4)).expand((3,)).batch_shape
        torch.Size([3])
        """
        return super().expand(batch_shape, self._get_checked_instance(MixingWeights, _instance))

    @property
    def natural_parameters(self) -> Tensor:
        r""":math:`\lambda = c - 1`, ``[*, K]``, in float64."""
        return self.concentration.double() - 1

    @classmethod
    def from_natural_parameters(cls, natural: Tensor, dtype: torch.dtype | None = None) -> MixingWeights:
        r"""The distribution with given natural parameters, the inverse of ``natural_parameters``.

        :param natural: :math:`\lambda > -1`, ``[*, K]``; keep it in float64.
        :param dtype: the type of the concentrations; by default that of ``natural``.
        :return: the distribution.
        :raises ValueError: where :math:`\lambda` is no Dirichlet's.

        >>> MixingWeights.from_natural_parameters(torch.tensor([0.0, 1.0])).concentration
        tensor([1., 2.])
        """
        return cls((natural.double() + 1).to(dtype or natural.dtype))

    @staticmethod
    def sufficient_statistics(value: Tensor) -> Tensor:
        r"""The statistics :math:`t = \log\pi` of a draw.

        :param value: weights ``[*, K]``.
        :return: ``[*, K]``.

        >>> MixingWeights.sufficient_statistics(torch.tensor([0.5, 0.5]))
        tensor([-0.6931, -0.6931])
        """
        return value.log()

    @property
    def expected_statistics(self) -> Tensor:
        r""":math:`E[t_k] = \psi(c_k) - \psi(\sum_j c_j)`, ``[*, K]``.

        It is the gradient of ``log_normalizer`` in the natural parameters, and has the concentrations' type.
        """
        return self.concentration.digamma() - self.concentration.sum(-1, keepdim=True).digamma()

    @property
    def log_normalizer(self) -> Tensor:
        r""":math:`A = \sum_k \log\Gamma(c_k) - \log\Gamma(\sum_k c_k)`, ``[*]``, in nats.

        The density is :math:`\exp(\lambda^\top t - A)`.
        """
        return self.concentration.lgamma().sum(-1) - self.concentration.sum(-1).lgamma()

    def updated(self, counts: Tensor) -> MixingWeights:
        r"""The posterior after counts of the components, :math:`c + \text{counts}`.

        :param counts: how often each component occurred, or the sums of its responsibilities, ``[*, K]``.
        :return: the posterior, with this distribution's type.
        :raises ValueError: where a concentration would not stay positive.

        Source: Paquet, Ghaisas, Tieleman, *A Factorial Mixture Prior for Compositional Deep Generative
        Models*, appendix D.

        >>> MixingWeights(torch.ones(2)).updated(torch.tensor([3.0, 0.0])).concentration
        tensor([4., 1.])
        """
        return self.from_natural_parameters(self.natural_parameters + counts, dtype=self.concentration.dtype)
