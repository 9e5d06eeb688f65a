"""The Cauchy-Schwarz divergence as a site of a model."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Size, Tensor
from torch.distributions import Distribution

from pyro_mixvae.divergences.cauchy_schwarz import cauchy_schwarz


class CauchySchwarzFactor(TorchDistribution):
    r"""A factor of a model that charges the divergence between two distributions.

    .. math::
        \log f = -\lambda\, D_{CS}(q, p)

    It is observed at an auxiliary site without data, as :class:`pyro.distributions.Unit` is. With the latent
    site itself written under ``.mask(False)`` in model and guide, stock ``Trace_ELBO`` then optimises
    :math:`E_q \log p(x|z) - \lambda D_{CS}`, the objective of a Cauchy-Schwarz regularised autoencoder.

    :param q: a distribution.
    :param p: another one; see :func:`~pyro_mixvae.divergences.cauchy_schwarz`.
    :param scale: the weight :math:`\lambda \ge 0`, a number or a tensor that broadcasts to the batch shape.
    :param num_samples: ``None`` for the closed form, or the number of draws of an estimate.
    :param validate_args: whether to check the value of ``scale``.
    :raises NotImplementedError: where no closed form is registered for the two types.
    :raises ValueError: where ``scale`` is negative, or q and p do not fit together.

    Its batch shape is that to which the batch shapes of q and p and the shape of ``scale`` broadcast, its
    event shape (0,); ``log_prob`` is in nats.

    Source: section 1 of the specification; Tran, Pantic, Deisenroth, equation 13.

    >>> from pyro.distributions import Normal
    >>> q = Normal(torch.tensor([[0.0], [2.0]]), torch.ones(2, 1)).to_event(1)
    >>> factor = CauchySchwarzFactor(q, Normal(torch.zeros(1), torch.ones(1)).to_event(1), scale=0.5)
    >>> factor.log_prob(factor.sample())
    tensor([-0.0000, -0.5000])

    In a model: ``pyro.sample("z_divergence", factor, obs=factor.sample())``.
    """

    arg_constraints: ClassVar = {"scale": constraints.nonnegative}
    support = constraints.real_vector

    def __init__(
        self,
        q: Distribution,
        p: Distribution,
        scale: float | Tensor = 1.0,
        *,
        num_samples: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        divergence = cauchy_schwarz(q, p, num_samples)
        scale = torch.as_tensor(scale, dtype=divergence.dtype, device=divergence.device)
        self.divergence, self.scale = torch.broadcast_tensors(divergence, scale)
        super().__init__(self.divergence.shape, Size((0,)), validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> CauchySchwarzFactor:
        """The same factor for a larger batch; the divergence is not computed again.

        :param batch_shape: the new batch shape.
        :return: the expanded factor.
        """
        new = self._get_checked_instance(CauchySchwarzFactor, _instance)
        new.divergence, new.scale = self.divergence.expand(batch_shape), self.scale.expand(batch_shape)
        super(CauchySchwarzFactor, new).__init__(Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = Size()) -> Tensor:
        """The only value there is: no numbers, ``[*sample_shape, *, 0]``."""
        return self.divergence.new_empty(self.shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        r"""The factor's logarithm.

        :param value: anything of shape ``[*, 0]``.
        :return: :math:`-\lambda D_{CS}(q, p)`, ``[*]`` in nats.
        """
        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        return (-self.scale * self.divergence).expand(shape)
