"""A battery of checks that a new distribution inherits.

The statistical checks fail beyond 4.5 standard errors. With the hundred comparisons of one battery that is a
false alarm for less than one seed in a thousand. pytest runs it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import pytest
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import biject_to

__all__ = ["DistributionChecks", "assert_close_in_standard_errors"]

STANDARD_ERRORS = 4.5


class DistributionChecks:
    r"""Base class of a test class: name the distribution and its parameters, inherit every check.

    Subclasses set ``distribution`` and define ``parameters``; ``constants`` are arguments that have no batch.
    They switch a check off by setting the attribute of the same name to ``None``, and say why. What a
    distribution does not have (``rsample``, ``entropy``, moments) is not checked.

    Checked are shapes and types for the batch shapes (), (3,), (2, 3) and with an enumerated dimension on the
    left; ``expand``, ``to_event``, ``mask`` and sites within plates; that the density integrates to one and
    that samples follow it (in unconstrained coordinates: on a grid where there are at most two, else by
    importance sampling; by summation where the support can be enumerated); gradients of the density by
    ``gradcheck`` and of samples against the score function; entropy, mean and variance against samples; that
    invalid parameters are refused.

    >>> class TestLaplace(DistributionChecks):
    ...     distribution = dist.Laplace
    ...     def parameters(self, batch_shape, dtype):
    ...         loc = torch.randn(batch_shape, dtype=dtype)
    ...         return {"loc": loc, "scale": 1 + loc.square()}
    >>> TestLaplace().test_density_integrates_to_one_and_samples_follow_it()
    """

    distribution: type[TorchDistribution]
    constants: ClassVar[Mapping[str, Any]] = {}
    num_samples: int = 20_000

    def parameters(self, batch_shape: tuple[int, ...], dtype: torch.dtype) -> Mapping[str, Tensor]:
        """Valid parameters, different for each entry of the batch, with finite fourth moments where possible.

        :param batch_shape: the wanted batch shape.
        :param dtype: the wanted type.
        :return: keyword arguments of ``distribution``.
        """
        raise NotImplementedError

    def make(self, batch_shape: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> TorchDistribution:
        """The distribution with these parameters.

        :param batch_shape: the wanted batch shape.
        :param dtype: the wanted type.
        :return: the distribution.
        """
        return self._build(self.parameters(batch_shape, dtype))

    def _build(self, parameters: Mapping[str, Tensor], **options: Any) -> TorchDistribution:
        return self.distribution(**parameters, **self.constants, **options)

    # Shapes and types.

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("batch_shape", [(), (3,), (2, 3)])
    def test_shapes_and_types(self, batch_shape: tuple[int, ...], dtype: torch.dtype) -> None:
        d = self.make(batch_shape, dtype)
        assert d.batch_shape == batch_shape
        for sample_shape in [(), (4,), (5, 2)]:
            value = d.sample(torch.Size(sample_shape))
            assert value.shape == (*sample_shape, *batch_shape, *d.event_shape)
            assert d.support.check(value).all()
            log_prob = d.log_prob(value)
            assert log_prob.shape == (*sample_shape, *batch_shape)
            assert value.dtype == log_prob.dtype == dtype
            assert log_prob.isfinite().all()

    def test_each_entry_of_a_batch_is_a_distribution_of_its_own(self) -> None:
        """Also with the parameters' enumerated dimension on the left of the values' dimensions."""
        parameters = self.parameters((2, 1, 3), torch.float64)
        d = self._build(parameters)
        value = d.sample()[0].expand(4, 3, *d.event_shape)
        log_prob = d.log_prob(value)
        assert log_prob.shape == (2, 4, 3)
        for i, j, k in itertools.product(range(2), range(4), range(3)):
            single = self._build({name: tensor[i, 0, k] for name, tensor in parameters.items()})
            torch.testing.assert_close(single.log_prob(value[j, k]), log_prob[i, j, k])

    def test_expand(self) -> None:
        d = self.make((3,))
        wide = d.expand(torch.Size([2, 3]))
        assert type(wide) is type(d)
        assert wide.batch_shape == (2, 3)
        value = wide.sample(torch.Size([4]))
        assert value.shape == (4, 2, 3, *d.event_shape)
        torch.testing.assert_close(wide.log_prob(value), d.log_prob(value))
        assert d.batch_shape == (3,)
        again = wide.expand(torch.Size([5, 2, 3]))
        assert again.log_prob(value[0]).shape == (5, 2, 3)

    def test_to_event_and_mask(self) -> None:
        d = self.make((2, 3))
        value = d.sample()
        torch.testing.assert_close(d.to_event(1).log_prob(value), d.log_prob(value).sum(-1))
        mask = torch.tensor([True, False, True])
        torch.testing.assert_close(d.mask(mask).log_prob(value), d.log_prob(value) * mask)

    def test_site_within_plates(self) -> None:
        d = self.make((3,))

        def model() -> None:
            with pyro.plate("outer", 2, dim=-2), pyro.plate("inner", 3, dim=-1):
                pyro.sample("value", d)

        trace = poutine.trace(model).get_trace()
        trace.compute_log_prob()
        site = trace.nodes["value"]
        assert site["value"].shape == (2, 3, *d.event_shape)
        assert site["log_prob"].shape == (2, 3)
        torch.testing.assert_close(site["log_prob"], d.log_prob(site["value"]))
        conditioned = poutine.condition(model, data={"value": site["value"]})
        again = poutine.trace(conditioned).get_trace()
        torch.testing.assert_close(again.log_prob_sum(), trace.log_prob_sum())

    def test_repr_names_the_class(self) -> None:
        assert repr(self.make((3,))).startswith(self.distribution.__name__ + "(")

    def test_invalid_parameters_are_refused(self) -> None:
        parameters = self.parameters((3,), torch.float64)
        for name in self.distribution.arg_constraints:
            if name in parameters:
                wrong = {**parameters, name: torch.full_like(parameters[name], math.nan)}
                with pytest.raises(ValueError, match=name):
                    self._build(wrong, validate_args=True)

    # Density, samples and what is computed from them.

    def test_density_integrates_to_one_and_samples_follow_it(self) -> None:
        d = self.make()
        if d.has_enumerate_support:
            self._check_by_summation(d)
            return
        for draw in (d.sample, d.rsample) if d.has_rsample else (d.sample,):
            with torch.no_grad():
                _check_by_integration(d, _unconstrained(d, draw(torch.Size([self.num_samples]))))

    def _check_by_summation(self, d: TorchDistribution) -> None:
        values = d.enumerate_support()
        probs = d.log_prob(values).exp()
        torch.testing.assert_close(probs.sum(), torch.ones_like(probs.sum()))
        drawn = d.sample(torch.Size([self.num_samples]))
        counts = (drawn.unsqueeze(-1) - values).abs().argmin(-1).bincount(minlength=len(values))
        error = (self.num_samples * probs * (1 - probs)).sqrt() + 1
        assert ((counts - self.num_samples * probs).abs() < STANDARD_ERRORS * error).all()

    def test_gradients_of_the_density(self) -> None:
        parameters = {name: p.requires_grad_() for name, p in self.parameters((2,), torch.float64).items()}
        value = self._build(parameters).sample(torch.Size([3]))
        continuous = not self.make().support.is_discrete
        u = biject_to(self.make().support).inv(value.detach()).requires_grad_() if continuous else None

        def log_prob(*arguments: Tensor) -> Tensor:
            d = self._build(dict(zip(parameters, arguments, strict=False)), validate_args=False)
            return d.log_prob(biject_to(d.support)(arguments[-1]) if continuous else value)

        arguments = (*parameters.values(), u) if u is not None else tuple(parameters.values())
        assert torch.autograd.gradcheck(log_prob, arguments)

    def test_gradients_of_samples(self) -> None:
        """The pathwise gradient of an expectation against that of the score function."""
        if not self.make().has_rsample:
            return
        parameters = self.parameters((), torch.float64)
        own = [p.expand(self.num_samples, *p.shape).clone().requires_grad_() for p in parameters.values()]
        d = self._build(dict(zip(parameters, own, strict=True)))
        x = d.rsample()
        u = _unconstrained(d, x)
        low, centre, high = u.detach().quantile(torch.tensor([0.1, 0.5, 0.9], dtype=u.dtype), dim=0)
        reward = torch.sin((u - centre) / (high - low) + torch.arange(u.shape[-1])).sum(-1)
        pathwise = torch.autograd.grad(reward.sum(), own, retain_graph=True)
        advantage = reward.detach() - reward.detach().mean()
        score = torch.autograd.grad((advantage * d.log_prob(x.detach())).sum(), own)
        for one, other in zip(pathwise, score, strict=True):
            assert_close_in_standard_errors(one, other.mean(0), other.std(0) / self.num_samples**0.5)

    def test_entropy(self) -> None:
        d = self.make((3,))
        try:
            entropy = d.entropy()
        except NotImplementedError:
            return
        assert_close_in_standard_errors(-d.log_prob(d.sample(torch.Size([self.num_samples]))), entropy)

    def test_mean_and_variance(self) -> None:
        d = self.make((3,))
        try:
            mean, variance = d.mean, d.variance
        except NotImplementedError:
            return
        assert mean.shape == variance.shape == d.batch_shape + d.event_shape
        x = d.sample(torch.Size([self.num_samples]))
        assert_close_in_standard_errors(x, mean)
        assert_close_in_standard_errors((x - mean).square(), variance)


def assert_close_in_standard_errors(draws: Tensor, expected: Tensor | float, other_error: Tensor | float = 0.0) -> None:
    """Fail where the mean of ``draws`` over dimension 0 is 4.5 standard errors or more from ``expected``.

    :param draws: independent draws ``[N, *]``.
    :param expected: what their mean should be, ``[*]``.
    :param other_error: the standard error of ``expected``, where it is an estimate itself.
    :raises AssertionError: where it is not.

    >>> assert_close_in_standard_errors(torch.randn(1000), 0.0)
    """
    draws = draws.detach()
    error = torch.hypot(draws.std(0) / len(draws) ** 0.5, torch.as_tensor(other_error, dtype=draws.dtype))
    distance = (draws.mean(0) - expected).abs()
    tolerance = STANDARD_ERRORS * error + 1e-12
    assert (distance <= tolerance).all(), f"mean {draws.mean(0)}, expected {expected}, standard error {error}"


def _unconstrained(d: TorchDistribution, value: Tensor) -> Tensor:
    """Draws from a scalar batch in unconstrained coordinates ``[N, n]``."""
    return biject_to(d.support).inv(value).reshape(len(value), -1)


def _unconstrained_log_prob(d: TorchDistribution, u: Tensor) -> Tensor:
    """Log-density of a scalar batch in unconstrained coordinates ``[N, n]``."""
    transform = biject_to(d.support)
    u = u.reshape(len(u), *transform.inverse_shape(d.event_shape))
    value = transform(u)
    jacobian = transform.log_abs_det_jacobian(u, value)
    return d.log_prob(value) + jacobian.reshape(len(u), -1).sum(-1)


def _check_by_integration(d: TorchDistribution, u: Tensor) -> None:
    """Compare draws ``u`` ``[N, n]`` with what the density says of bounded functions of them."""
    dim = u.shape[-1]
    if dim <= 2:
        points, volume = _grid(u)
        weight = _unconstrained_log_prob(d, points).exp() * volume
        torch.testing.assert_close(weight.sum(), torch.ones_like(volume), atol=1e-4, rtol=0)
    else:
        points, log_proposal = _heavy_tailed_draws(u)
        weight = (_unconstrained_log_prob(d, points) - log_proposal).exp() / len(points)
        assert_close_in_standard_errors(weight * len(points), 1.0)
    weight = weight.unsqueeze(-1) / weight.sum()
    centre, spread = u.mean(0), u.std(0)
    for function in (torch.tanh, torch.cos, lambda x: torch.sin(x.sum(-1, keepdim=True))):
        values = function((points - centre) / spread)
        expected = (weight * values).sum(0)
        error = (weight * (values - expected)).square().sum(0).sqrt() if dim > 2 else 0.0
        assert_close_in_standard_errors(function((u - centre) / spread), expected, error)


def _grid(u: Tensor) -> tuple[Tensor, Tensor]:
    """An even grid well beyond all draws, and the volume of its cells."""
    margin = 3 * u.std(0) + 0.5 * (u.amax(0) - u.amin(0))
    low, high = u.amin(0) - margin, u.amax(0) + margin
    size = 20_001 if u.shape[-1] == 1 else 801
    axes = [torch.linspace(float(a), float(b), size, dtype=u.dtype) for a, b in zip(low, high, strict=True)]
    points = torch.cartesian_prod(*axes).reshape(-1, u.shape[-1])
    return points, ((high - low) / (size - 1)).prod()


def _heavy_tailed_draws(u: Tensor) -> tuple[Tensor, Tensor]:
    """Draws around all of ``u`` with heavier tails, and their log-density."""
    covariance = u.T.cov() + 1e-9 * torch.eye(u.shape[-1], dtype=u.dtype)
    tail = torch.full((), 5.0, dtype=u.dtype)
    proposal = dist.MultivariateStudentT(tail, u.mean(0), torch.linalg.cholesky(covariance))
    points = proposal.sample(torch.Size([10 * len(u)]))
    return points, proposal.log_prob(points)
