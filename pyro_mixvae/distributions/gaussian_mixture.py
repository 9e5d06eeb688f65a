"""Mixtures of diagonal Gaussians: density, responsibilities, and samples that carry gradients."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pyro.distributions import Categorical, Independent, TorchDistribution, constraints
from torch import Tensor

from pyro_mixvae.distributions.component_densities import component_log_probs, log_responsibilities, mixture_log_prob
from pyro_mixvae.distributions.diagonal_normal import DiagonalNormal
from pyro_mixvae.distributions.shapes import broadcast_shape

__all__ = ["GaussianMixture"]


class GaussianMixture(TorchDistribution):
    r"""Mixture of ``K`` Gaussians with diagonal covariances on ``R^D``, reparameterised.

    .. math::
        p(z) = \sum_{k=1}^K \pi_k \prod_{d=1}^D N(z_d;\, m_{kd}, s_{kd}^2)

    The three arguments broadcast over their batch dimensions. All is computed in log space, so that nothing
    underflows however far a point lies from every component. Components shared by the whole batch, also by
    ``expand``, are evaluated by matrix products, and thousands of them in chunks: memory stays bounded.

    :param logits: log weights ``[*, K]``, normalised or not. The attribute ``logits`` is normalised: it is
        :math:`\log \pi`, as in :class:`torch.distributions.Categorical`.
    :param locs: means ``[*, K, D]``.
    :param scales: standard deviations ``[*, K, D]``, positive.
    :param validate_args: whether to check the arguments' values; their shapes are always checked.
    :raises ValueError: where shapes do not fit together, ``K`` or ``D`` is zero, or a value is not allowed.

    Source: the mixture prior of Tran, Pantic, Deisenroth, *Cauchy-Schwarz Regularized Autoencoder*.

    >>> mixture = GaussianMixture(torch.zeros(3), torch.tensor([[-9.0], [0.0], [9.0]]), torch.ones(3, 1))
    >>> mixture
    GaussianMixture(num_components: 3, batch_shape: (), event_shape: (1,))
    >>> mixture.log_prob(torch.zeros(1)).exp()
    tensor(0.1330)
    >>> mixture.mean, mixture.variance
    (tensor([0.]), tensor([55.]))
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {
        "logits": constraints.real_vector,
        "locs": constraints.independent(constraints.real, 2),
        "scales": constraints.independent(constraints.positive, 2),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, logits: Tensor, locs: Tensor, scales: Tensor, validate_args: bool | None = None) -> None:
        _check_shapes(logits, locs, scales)
        self.logits = _without_repeats(logits, 1).log_softmax(-1)
        self.locs = _without_repeats(locs, 2)
        self.scales = _without_repeats(scales, 2)
        batch_shape = broadcast_shape(logits.shape[:-1], locs.shape[:-2], scales.shape[:-2])
        super().__init__(batch_shape, locs.shape[-1:], validate_args=validate_args)
        self._spread(self.logits, self.locs, self.scales)

    def _spread(self, logits: Tensor, locs: Tensor, scales: Tensor) -> None:
        """Keep the parameters, and show them as views of the whole batch."""
        self._parameters = (logits, locs, scales)
        self.logits = _expanded(logits, self.batch_shape, 1)
        self.locs = _expanded(locs, self.batch_shape, 2)
        self.scales = _expanded(scales, self.batch_shape, 2)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> GaussianMixture:
        """The same mixture for a larger batch; its parameters are shared, not copied.

        :param batch_shape: the new batch shape.
        :return: the expanded mixture.

        >>> GaussianMixture(torch.zeros(2), torch.zeros(2, 1), torch.ones(2, 1)).expand((4,)).batch_shape
        torch.Size([4])
        """
        new = self._get_checked_instance(GaussianMixture, _instance)
        super(GaussianMixture, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._spread(*self._parameters)
        new._validate_args = self._validate_args
        return new

    def collapse(self) -> GaussianMixture:
        """The same mixture with a batch no larger than its parameters: what ``expand`` repeated counts once.

        :return: a mixture whose batch shape broadcasts to this one's.

        >>> prior = GaussianMixture(torch.zeros(2), torch.zeros(2, 1), torch.ones(2, 1))
        >>> prior.expand((100,)).collapse().batch_shape
        torch.Size([])
        """
        return GaussianMixture(*self._parameters, validate_args=False)

    @property
    def num_components(self) -> int:
        """The number of components ``K``."""
        return self.logits.shape[-1]

    @property
    def mean(self) -> Tensor:
        r"""The mean :math:`\sum_k \pi_k m_k`, ``[*, D]``."""
        return (self.logits.exp().unsqueeze(-1) * self.locs).sum(-2)

    @property
    def variance(self) -> Tensor:
        r"""The variances :math:`\sum_k \pi_k (s_k^2 + (m_k - \bar m)^2)` of the coordinates, ``[*, D]``."""
        spread = self.scales.square() + (self.locs - self.mean.unsqueeze(-2)).square()
        return (self.logits.exp().unsqueeze(-1) * spread).sum(-2)

    def component(self, k: int) -> Independent:
        """One component.

        :param k: its index, ``-K <= k < K``.
        :return: the Gaussian, with this mixture's batch and event shape.
        :raises IndexError: where there is no such component.

        >>> GaussianMixture(torch.zeros(2), torch.tensor([[3.0], [4.0]]), torch.ones(2, 1)).component(1).mean
        tensor([4.])
        """
        if not -self.num_components <= k < self.num_components:
            raise IndexError(f"k must be below {self.num_components}, the number of components, got {k}")
        return DiagonalNormal(self.locs[..., k, :], self.scales[..., k, :])

    def log_prob(self, value: Tensor) -> Tensor:
        r"""Log-density.

        Where single-precision components are shared by many points, scales down to 1e-5 of the spread of the
        data and means are accurate to 1e-3 nats.

        :param value: points ``[*, D]``.
        :return: log-density ``[*]`` in nats.
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = broadcast_shape(value.shape[:-1], self.batch_shape)
        return mixture_log_prob(value, *self._parameters).expand(shape)

    def responsibilities(self, value: Tensor) -> Tensor:
        r"""The posterior probability of each component, :math:`\pi_k N(z; m_k, s_k^2) / p(z)`.

        :param value: points ``[*, D]``.
        :return: probabilities ``[*, K]``.

        >>> mixture = GaussianMixture(torch.zeros(2), torch.tensor([[0.0], [2.0]]), torch.ones(2, 1))
        >>> mixture.responsibilities(torch.tensor([[-1.0], [1.0]]))
        tensor([[0.9820, 0.0180],
                [0.5000, 0.5000]])
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = broadcast_shape(value.shape[:-1], self.batch_shape)
        joint = component_log_probs(value, *self._parameters)
        return joint.softmax(-1).expand(*shape, self.num_components)

    def log_responsibilities(self, value: Tensor) -> Tensor:
        r"""The logarithms of the responsibilities, by :func:`log_responsibilities`: they do not round to equals near 0.

        :param value: points ``[*, D]``.
        :return: logarithms ``[*, K]`` in nats, none above 0.

        >>> mixture = GaussianMixture(torch.zeros(2), torch.tensor([[0.0], [9.0]]), torch.ones(2, 1))
        >>> mixture.log_responsibilities(torch.tensor([[0.0], [2.0]]))
        tensor([[-2.5768e-18, -4.0500e+01],
                [-1.6919e-10, -2.2500e+01]])
        """
        if self._validate_args:
            self._validate_sample(value)
        shape = broadcast_shape(value.shape[:-1], self.batch_shape)
        joint = component_log_probs(value, *self._parameters)
        return log_responsibilities(joint).expand(*shape, self.num_components)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:
        r"""Draws with unbiased gradients in weights, means and scales, by implicit reparameterisation.

        Coordinate by coordinate through the conditional distribution functions: with
        :math:`w_k(z_{<d}) \propto \pi_k \prod_{e<d} N(z_e; m_{ke}, s_{ke}^2)`,
        :math:`F_d = \sum_k w_k(z_{<d}) \Phi_{kd}(z_d)` and :math:`f_d` its density,

        .. math::
            z_d \leftarrow z_d - (F_d - \mathrm{sg} F_d) / \mathrm{sg} f_d .

        Source: Figurnov, Mohamed, Mnih 2018, *Implicit Reparameterization Gradients*, section 3.

        :param sample_shape: the shape of independent draws.
        :return: draws ``[*sample_shape, *, D]``.

        >>> logits = torch.zeros(2, requires_grad=True)
        >>> mixture = GaussianMixture(logits, torch.tensor([[0.0], [1.0]]), torch.ones(2, 1))
        >>> mixture.rsample((1000,)).mean().backward()
        >>> logits.grad.sign()
        tensor([-1.,  1.])
        """
        with torch.no_grad():
            k = Categorical(logits=self.logits, validate_args=False).sample(sample_shape)[..., None, None]
            noise = torch.randn(self.shape(sample_shape), dtype=self.locs.dtype, device=self.locs.device)
            z = _select(self.locs, k) + _select(self.scales, k) * noise
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in self._parameters):
            return _reparameterised(z, *self._parameters, tail=torch.where(noise > 0, -1.0, 1.0))
        return z

    def __repr__(self) -> str:
        return (
            f"GaussianMixture(num_components: {self.num_components}, "
            f"batch_shape: {tuple(self.batch_shape)}, event_shape: {tuple(self.event_shape)})"
        )


def _reparameterised(z: Tensor, logits: Tensor, locs: Tensor, scales: Tensor, tail: Tensor) -> Tensor:
    """The points ``z``, with the gradients of the map from fixed conditional quantiles to them.

    ``tail`` is 1 where F is summed from lower and -1 where from upper tail probabilities: F - sg F is the
    same, and small tail probabilities keep their digits.
    """
    log_weights = logits
    coordinates = []
    columns = zip(z.unbind(-1), locs.unbind(-1), scales.unbind(-1), tail.unbind(-1), strict=True)
    for z_d, m, s, sign in columns:
        weights = log_weights.softmax(-1)
        t = (z_d.unsqueeze(-1) - m) / s
        cdf = sign * (weights * torch.special.ndtr(sign.unsqueeze(-1) * t)).sum(-1)
        pdf = (weights * torch.exp(-0.5 * t.square()) / (s * math.sqrt(2 * math.pi))).sum(-1).detach()
        z_d = z_d - (cdf - cdf.detach()) / pdf
        log_weights = log_weights - s.log() - 0.5 * ((z_d.unsqueeze(-1) - m) / s).square()
        coordinates.append(z_d)
    return torch.stack(coordinates, -1)


def _select(parameter: Tensor, k: Tensor) -> Tensor:
    """The rows ``k`` ``[*, 1, 1]`` of a parameter ``[*, K, D]``, ``[*, D]``."""
    rows = parameter.expand(*k.shape[:-2], *parameter.shape[-2:])
    return rows.gather(-2, k.expand(*k.shape[:-1], parameter.shape[-1])).squeeze(-2)


def _check_shapes(logits: Tensor, locs: Tensor, scales: Tensor) -> None:
    if logits.dim() < 1 or logits.shape[-1] < 1:
        raise ValueError(f"logits must have shape [*, K] with K >= 1, got {list(logits.shape)}")
    for name, tensor in (("locs", locs), ("scales", scales)):
        if tensor.dim() < 2 or tensor.shape[-2] != logits.shape[-1] or tensor.shape[-1] < 1:
            raise ValueError(
                f"{name} must have shape [*, K, D] with K = {logits.shape[-1]} as in logits and D >= 1, "
                f"got {list(tensor.shape)}"
            )
    if locs.shape[-1] != scales.shape[-1]:
        raise ValueError(
            f"scales must have the same last dimension D = {locs.shape[-1]} as locs, got {list(scales.shape)}"
        )


def _expanded(tensor: Tensor, batch_shape: torch.Size, event_dim: int) -> Tensor:
    shape = batch_shape + tensor.shape[-event_dim:]
    return tensor if tensor.shape == shape else tensor.expand(shape)


def _without_repeats(tensor: Tensor, event_dim: int) -> Tensor:
    """Reduce the batch dimensions that only repeat (stride 0, as ``expand`` makes them) to size one."""
    for dim in range(tensor.dim() - event_dim):
        if tensor.stride(dim) == 0 and tensor.shape[dim] > 1:
            tensor = tensor.narrow(dim, 0, 1)
    return tensor
