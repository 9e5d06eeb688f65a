"""The conjugate prior of a Gaussian with unknown mean and precision."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import Exponential, Gamma, StudentT, TorchDistribution, constraints
from torch import Tensor
from torch.distributions.kl import kl_divergence, register_kl
from torch.distributions.utils import broadcast_all

__all__ = ["NormalGamma"]

LOG_2PI = math.log(2 * math.pi)


class NormalGamma(TorchDistribution):
    r"""Distribution of a mean :math:`\mu` and a precision :math:`\alpha`; one draw ``[..., 2]`` holds both.

    .. math::
        p(\mu, \alpha) = N(\mu;\, m, 1/(s\alpha))\; \mathrm{Gamma}(\alpha;\, a, b)

    As a member of the exponential family it has natural parameters
    :math:`\lambda = [a - \tfrac12,\, -(b + \tfrac12 s m^2),\, s m,\, -\tfrac12 s]` for the statistics
    :math:`t = [\log\alpha,\, \alpha,\, \alpha\mu,\, \alpha\mu^2]`. They are handled in double precision
    whatever the parameters' type: ``b`` is the difference of two numbers that may be large.

    :param loc: m, the mean of :math:`\mu`.
    :param mean_precision: s > 0, the precision of :math:`\mu` in units of :math:`\alpha`.
    :param concentration: a > 0, the shape of the Gamma.
    :param rate: b > 0, the rate of the Gamma.
    :param validate_args: whether to check the parameters.
    :raises ValueError: where a parameter is not allowed.

    The parameters are numbers or tensors, and broadcast to the batch shape; ``event_shape`` is ``(2,)``.

    Source: Paquet, Ghaisas, Tieleman, *A Factorial Mixture Prior for Compositional Deep Generative Models*,
    equation 12 and appendix C.

    >>> q = NormalGamma(loc=1.0, mean_precision=4.0, concentration=3.0, rate=2.0)
    >>> q
    NormalGamma(loc: 1.0, mean_precision: 4.0, concentration: 3.0, rate: 2.0)
    >>> q.mean, q.variance
    (tensor([1.0000, 1.5000]), tensor([0.2500, 0.7500]))
    >>> mean, precision = q.sample((5,)).unbind(-1)
    >>> q.log_prob(torch.tensor([1.0, 1.5]))
    tensor(-0.8258)
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "loc": constraints.real,
        "mean_precision": constraints.positive,
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.independent(constraints.cat([constraints.real, constraints.positive], dim=-1), 1)
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        mean_precision: Tensor | float,
        concentration: Tensor | float,
        rate: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.mean_precision, self.concentration, self.rate = broadcast_all(
            loc, mean_precision, concentration, rate
        )
        super().__init__(self.loc.shape, torch.Size([2]), validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> NormalGamma:
        """The same distribution for a larger batch.

        :param batch_shape: the new batch shape.
        :return: the expanded distribution; its parameters are views.

        >>> NormalGamma(0.0, 1.0, 2.0, 2.0).expand((3,)).batch_shape
        torch.Size([3])
        """
        new = self._get_checked_instance(NormalGamma, _instance)
        batch_shape = torch.Size(batch_shape)
        for name in self.arg_constraints:
            setattr(new, name, getattr(self, name).expand(batch_shape))
        super(NormalGamma, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        r"""The expectations :math:`(m, a/b)`, ``[*, 2]``; the first does not exist, NaN, for a <= 1/2."""
        first = torch.where(self.concentration > 0.5, self.loc, math.nan)
        return torch.stack([first, self.concentration / self.rate], -1)

    @property
    def variance(self) -> Tensor:
        r"""The variances :math:`(b/(s(a-1)), a/b^2)`, ``[*, 2]``.

        The first is infinite for 1/2 < a <= 1, and does not exist, NaN, for a <= 1/2.
        """
        finite = self.rate / (self.mean_precision * (self.concentration - 1))
        first = torch.where(self.concentration > 1, finite, math.inf)
        first = torch.where(self.concentration > 0.5, first, math.nan)
        return torch.stack([first, self.concentration / self.rate.square()], -1)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        r"""Reparameterised draws, the Gamma first, then the Normal.

        For a < 1 the Gamma is drawn by its logarithm, :math:`\log G + \tfrac1a \log U` with
        :math:`G \sim \mathrm{Gamma}(a + 1, b)` and U uniform (Marsaglia, Tsang 2000, section 6), so that
        gradients stay finite too. Precisions below the smallest that the type holds, 4 in 10 of the draws at
        a = b = 0.01 in single precision, are raised to it, with zero gradient; means are drawn after that.

        :param sample_shape: the shape of independent draws.
        :return: draws ``[*sample_shape, *, 2]`` of mean and precision.

        >>> NormalGamma(0.0, 1.0, 0.01, 0.01).rsample((1000,)).isfinite().all()
        tensor(True)
        """
        shape = self._extended_shape(sample_shape)[:-1]
        small = (self.concentration < 1).to(self.concentration)
        boosted = Gamma(self.concentration + small, self.rate, validate_args=False).rsample(sample_shape)
        exponential = Exponential(torch.ones_like(self.rate), validate_args=False).sample(sample_shape)
        log_precision = boosted.log() - small * exponential / self.concentration
        log_precision = log_precision.clamp(min=math.log(2 * torch.finfo(log_precision.dtype).tiny))
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        mean = self.loc + noise * torch.exp(-0.5 * (self.mean_precision.log() + log_precision))
        return torch.stack([mean, log_precision.exp()], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density.

        :param value: mean and precision ``[*, 2]``.
        :return: log-density ``[*]`` in nats.
        """
        if self._validate_args:
            self._validate_sample(value)
        mean, precision = value.unbind(-1)
        distance = self.mean_precision.sqrt() * precision.sqrt() * (mean - self.loc)
        log_normal = 0.5 * (self.mean_precision.log() + precision.log() - LOG_2PI - distance.square())
        return log_normal + Gamma(self.concentration, self.rate, validate_args=False).log_prob(precision)

    def entropy(self) -> Tensor:
        r"""Entropy, :math:`H(\mathrm{Gamma}(a, b)) + \tfrac12 [1 + \log 2\pi - \log s - \psi(a) + \log b]`.

        :return: ``[*]``, in nats.
        """
        log_precision = self.concentration.digamma() - self.rate.log()
        conditional = 0.5 * (1 + LOG_2PI - self.mean_precision.log() - log_precision)
        return conditional + Gamma(self.concentration, self.rate, validate_args=False).entropy()

    @property
    def natural_parameters(self) -> Tensor:
        r""":math:`\lambda = [a - \tfrac12, -(b + \tfrac12 s m^2), s m, -\tfrac12 s]`, ``[*, 4]``, float64."""
        m, s = self.loc.double(), self.mean_precision.double()
        a, b = self.concentration.double(), self.rate.double()
        return torch.stack([a - 0.5, -(b + 0.5 * s * m.square()), s * m, -0.5 * s], -1)

    @classmethod
    def from_natural_parameters(cls, natural: Tensor, dtype: torch.dtype | None = None) -> NormalGamma:
        r"""The distribution with given natural parameters, the inverse of ``natural_parameters``.

        :param natural: :math:`\lambda`, ``[*, 4]``; keep it in float64.
        :param dtype: the type of the distribution's parameters; by default that of ``natural``.
        :return: the distribution, of batch shape ``[*]``.
        :raises ValueError: where :math:`\lambda` is no Normal-Gamma's.

        >>> NormalGamma.from_natural_parameters(torch.tensor([2.5, -4.0, 4.0, -2.0]))
        NormalGamma(loc: 1.0, mean_precision: 4.0, concentration: 3.0, rate: 2.0)
        """
        if natural.shape[-1:] != (4,):
            raise ValueError(f"natural must have shape [*, 4], got {list(natural.shape)}")
        first, second, third, fourth = natural.double().unbind(-1)
        s = -2 * fourth
        m = third / s
        a, b = first + 0.5, -second - 0.5 * third * m
        dtype = dtype or natural.dtype
        return cls(m.to(dtype), s.to(dtype), a.to(dtype), b.to(dtype))

    @staticmethod
    def sufficient_statistics(value: Tensor) -> Tensor:
        r"""The statistics :math:`t = [\log\alpha, \alpha, \alpha\mu, \alpha\mu^2]` of a draw.

        :param value: mean and precision ``[*, 2]``.
        :return: ``[*, 4]``.

        >>> NormalGamma.sufficient_statistics(torch.tensor([3.0, 1.0]))
        tensor([0., 1., 3., 9.])
        """
        mean, precision = value.unbind(-1)
        square = (precision.sqrt() * mean).square()
        return torch.stack([precision.log(), precision, precision * mean, square], -1)

    @property
    def expected_statistics(self) -> Tensor:
        r""":math:`E[t] = [\psi(a) - \log b,\, a/b,\, m a/b,\, 1/s + m^2 a/b]`, ``[*, 4]``.

        It is the gradient of ``log_normalizer`` in the natural parameters, and has the parameters' type.
        """
        precision = self.concentration / self.rate
        return torch.stack(
            [
                self.concentration.digamma() - self.rate.log(),
                precision,
                self.loc * precision,
                1 / self.mean_precision + self.loc.square() * precision,
            ],
            -1,
        )

    @property
    def log_normalizer(self) -> Tensor:
        r""":math:`A = \log\Gamma(a) - a \log b - \tfrac12\log s + \tfrac12\log 2\pi`, ``[*]``, in nats.

        The density is :math:`\exp(\lambda^\top t - A)`.
        """
        gamma = self.concentration.lgamma() - self.concentration * self.rate.log()
        return gamma - 0.5 * (self.mean_precision.log() - LOG_2PI)

    @staticmethod
    def likelihood_statistics(loc: Tensor, scale: Tensor | float = 0.0, weights: Tensor | None = None) -> Tensor:
        r"""What a datum :math:`z \sim N(\mu, 1/\alpha)` adds to the natural parameters.

        .. math::
            E[\log N(z; \mu, 1/\alpha)]
            = t^\top [\tfrac12,\, -\tfrac12 E z^2,\, E z,\, -\tfrac12] - \tfrac12\log 2\pi

        :param loc: the datum, or the mean of an uncertain one, ``[*]``.
        :param scale: the standard deviation of an uncertain datum.
        :param weights: of N data ``[N, D]`` in each of K components, ``[N, K]``: then the weighted sums are returned.
        :return: ``[*, 4]``, in float64; weigh and sum over data, then ``updated`` takes it. ``[K, D, 4]`` with weights.

        >>> NormalGamma.likelihood_statistics(torch.tensor(3.0))
        tensor([ 0.5000, -4.5000,  3.0000, -0.5000], dtype=torch.float64)
        """
        loc = loc.double()
        square = loc.square() + torch.as_tensor(scale, dtype=torch.float64, device=loc.device).square()
        count = torch.ones_like(loc)
        if weights is not None:
            weights = weights.double().T
            count, loc, square = weights.sum(-1, keepdim=True), weights @ loc, weights @ square
        return torch.stack(torch.broadcast_tensors(0.5 * count, -0.5 * square, loc, -0.5 * count), -1)

    def updated(self, statistics: Tensor) -> NormalGamma:
        r"""The posterior, :math:`\lambda + \text{statistics}`.

        :param statistics: the weighted sum of the data's ``likelihood_statistics``, ``[*, 4]``.
        :return: the posterior, with this distribution's type.
        :raises ValueError: where the sum is no Normal-Gamma's.

        Source: Paquet et al., equation 13.

        >>> data = torch.tensor([0.9, 1.1, 1.0])
        >>> NormalGamma(0.0, 1.0, 1.0, 1.0).updated(NormalGamma.likelihood_statistics(data).sum(0))
        NormalGamma(loc: 0.75, mean_precision: 4.0, concentration: 2.5, rate: 1.38499...)
        """
        return self.from_natural_parameters(self.natural_parameters + statistics, dtype=self.loc.dtype)

    def posterior_predictive(self) -> StudentT:
        r"""The distribution of :math:`z \sim N(\mu, 1/\alpha)`: Student's t, 2a degrees of freedom, around m.

        :return: ``StudentT(2 a, m, sqrt(b (s + 1) / (a s)))``, of this batch shape and scalar events.

        >>> NormalGamma(0.0, 1.0, 2.0, 1.0).posterior_predictive()
        StudentT(df: 4.0, loc: 0.0, scale: 1.0)
        """
        variance = self.rate / self.concentration * (1 + 1 / self.mean_precision)
        return StudentT(2 * self.concentration, self.loc, variance.sqrt())

    def expected_log_prob(self, loc: Tensor, scale: Tensor | float = 0.0) -> Tensor:
        r"""The expected log-likelihood of an uncertain datum :math:`z \sim N(\text{loc}, \text{scale}^2)`.

        .. math::
            E \log N(z; \mu, 1/\alpha) = \tfrac12 \big[\psi(a) - \log b - \log 2\pi - \tfrac1s
            - \tfrac ab ((\text{loc} - m)^2 + \text{scale}^2)\big]

        :param loc: the mean of the datum; broadcasts with the batch shape.
        :param scale: its standard deviation, 0 for a datum that is known.
        :return: expected log-density in nats, of the broadcast shape.

        Source: Paquet et al., equation 6.

        >>> NormalGamma(0.0, 1.0, 2.0, 1.0).expected_log_prob(torch.tensor(0.0))
        tensor(-1.2075)
        """
        square = (loc - self.loc).square() + scale**2
        log_precision = self.concentration.digamma() - self.rate.log()
        precision = self.concentration / self.rate
        return 0.5 * (log_precision - LOG_2PI - 1 / self.mean_precision - precision * square)


@register_kl(NormalGamma, NormalGamma)
def _kl_normal_gamma(q: NormalGamma, p: NormalGamma) -> Tensor:
    r"""KL(q || p) = 1/2 [s_p (a_q/b_q) (m_q - m_p)^2 + s_p/s_q - log(s_p/s_q) - 1] + KL of the Gammas."""
    ratio = p.mean_precision / q.mean_precision
    distance = p.mean_precision * q.concentration / q.rate * (q.loc - p.loc).square()
    gamma_q = Gamma(q.concentration, q.rate, validate_args=False)
    gamma_p = Gamma(p.concentration, p.rate, validate_args=False)
    return 0.5 * (distance + ratio - ratio.log() - 1) + kl_divergence(gamma_q, gamma_p)
