"""Batteries of checks that a new divergence inherits, between distributions or between samples.

The statistical checks fail beyond 4.5 standard errors, which one comparison does by chance in one seed of
150,000.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from pyro_mixvae.divergences import cauchy_schwarz

__all__ = ["CauchySchwarzChecks", "DivergenceChecks", "KLChecks", "SampleDivergenceChecks"]

STANDARD_ERRORS = 4.5


class DivergenceChecks:
    r"""Base class of a test class for a divergence between two distributions: every check is inherited.

    Subclasses define ``divergence``, ``estimate``, the two families ``make_q`` and ``make_p``, and parameters
    for them; :class:`KLChecks` and :class:`CauchySchwarzChecks` define the first two. A check is switched off
    by setting the attribute of its name to ``None``; say why.

    Checked are shapes and types for batch shapes that broadcast, also with enumerated dimensions on the left;
    each entry of a batch against a divergence of its own; ``expand``; single against double precision;
    gradients by ``gradcheck``; the value against an independent Monte Carlo estimate, up to 4.5 of its
    standard errors; that the divergence is never negative, is zero with zero gradient for equal arguments,
    and symmetric where it should be; that value and gradient stay finite in single precision with the means
    1,000 standard deviations apart.
    """

    symmetric: bool = False
    location: str | None = "loc"
    """The parameter of q that moves its mean; ``None`` switches the far-apart check off."""
    num_samples: int = 20_000

    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        """The divergence under test.

        :param q: a distribution that ``make_q`` made.
        :param p: a distribution that ``make_p`` made.
        :return: ``[*]``, the batch shape to which theirs broadcast.
        """
        raise NotImplementedError

    def estimate(self, q: Distribution, p: Distribution) -> tuple[Tensor, Tensor]:
        """The same divergence by Monte Carlo, from samples and densities alone.

        :return: the estimate and its standard error, ``[*]`` each.
        """
        raise NotImplementedError

    def make_q(self, **parameters: Tensor) -> Distribution:
        """The first distribution with these parameters."""
        raise NotImplementedError

    def make_p(self, **parameters: Tensor) -> Distribution:
        """The second distribution with these parameters."""
        raise NotImplementedError

    def q_parameters(self, batch_shape: tuple[int, ...]) -> Mapping[str, Tensor]:
        """Random parameters of ``make_q`` in double precision, different for each entry of the batch."""
        raise NotImplementedError

    def p_parameters(self, batch_shape: tuple[int, ...]) -> Mapping[str, Tensor]:
        """The same for ``make_p``."""
        raise NotImplementedError

    # Shapes and types.

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize(
        ("q_shape", "p_shape"), [((), ()), ((3,), (3,)), ((3,), ()), ((), (2, 3)), ((4, 1, 1), (2, 3))]
    )
    def test_shapes_and_types(self, q_shape: tuple[int, ...], p_shape: tuple[int, ...], dtype: torch.dtype) -> None:
        q = self.make_q(**_cast(self.q_parameters(q_shape), dtype))
        p = self.make_p(**_cast(self.p_parameters(p_shape), dtype))
        divergence = self.divergence(q, p)
        assert divergence.shape == torch.broadcast_shapes(q_shape, p_shape)
        assert divergence.dtype == dtype
        assert divergence.isfinite().all()

    def test_each_entry_of_a_batch_is_a_divergence_of_its_own(self) -> None:
        q_parameters, p_parameters = self.q_parameters((2, 1, 3)), self.p_parameters((4, 1))
        divergence = self.divergence(self.make_q(**q_parameters), self.make_p(**p_parameters))
        assert divergence.shape == (2, 4, 3)
        for i, j, k in itertools.product(range(2), range(4), range(3)):
            q = self.make_q(**{name: tensor[i, 0, k] for name, tensor in q_parameters.items()})
            p = self.make_p(**{name: tensor[j, 0] for name, tensor in p_parameters.items()})
            torch.testing.assert_close(self.divergence(q, p), divergence[i, j, k])

    def test_expand(self) -> None:
        q, p = self.make_q(**self.q_parameters((3,))), self.make_p(**self.p_parameters(()))
        divergence = self.divergence(q, p)
        wide = torch.Size([2, 3])
        for expanded in (self.divergence(q.expand(wide), p), self.divergence(q.expand(wide), p.expand(wide))):
            assert expanded.shape == wide
            torch.testing.assert_close(expanded, divergence.expand(wide))

    def test_single_agrees_with_double_precision(self) -> None:
        q_parameters, p_parameters = self.q_parameters((5,)), self.p_parameters((5,))
        double = self.divergence(self.make_q(**q_parameters), self.make_p(**p_parameters))
        q = self.make_q(**_cast(q_parameters, torch.float32))
        single = self.divergence(q, self.make_p(**_cast(p_parameters, torch.float32)))
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)

    # Values and gradients.

    def test_gradients(self) -> None:
        q_parameters, p_parameters = self.q_parameters((3,)), self.p_parameters(())

        def divergence(*tensors: Tensor) -> Tensor:
            q = self.make_q(**dict(zip(q_parameters, tensors[: len(q_parameters)], strict=True)))
            p = self.make_p(**dict(zip(p_parameters, tensors[len(q_parameters) :], strict=True)))
            return self.divergence(q, p)

        leaves = [t.clone().requires_grad_() for t in (*q_parameters.values(), *p_parameters.values())]
        assert torch.autograd.gradcheck(divergence, leaves)

    def test_agrees_with_samples(self) -> None:
        q, p = self.make_q(**self.q_parameters((3,))), self.make_p(**self.p_parameters((3,)))
        estimate, standard_error = self.estimate(q, p)
        divergence = self.divergence(q, p)
        assert ((divergence - estimate).abs() <= STANDARD_ERRORS * standard_error + 1e-12).all(), (
            f"got {divergence}, estimated {estimate} with standard error {standard_error}"
        )

    def test_never_negative(self) -> None:
        q, p = self.make_q(**self.q_parameters((50,))), self.make_p(**self.p_parameters((50,)))
        assert (self.divergence(q, p) >= 0).all()

    def test_zero_for_equal_arguments(self) -> None:
        for make, parameters in (
            (self.make_q, self.q_parameters((5,))),
            (self.make_p, self.p_parameters((5,))),
        ):
            leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
            try:
                divergence = self.divergence(make(**leaves), make(**parameters))
            except NotImplementedError:
                continue
            torch.testing.assert_close(divergence, torch.zeros_like(divergence), atol=1e-12, rtol=0)
            for gradient in torch.autograd.grad(divergence.sum(), list(leaves.values())):
                torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)

    def test_symmetric_where_it_should_be(self) -> None:
        if self.symmetric:
            q, p = self.make_q(**self.q_parameters((3,))), self.make_p(**self.p_parameters((2, 1)))
            torch.testing.assert_close(self.divergence(q, p), self.divergence(p, q))

    def test_finite_a_thousand_standard_deviations_apart(self) -> None:
        if self.location is None:
            return
        q_parameters = dict(_cast(self.q_parameters((3,)), torch.float32))
        p_parameters = _cast(self.p_parameters(()), torch.float32)
        deviation = max(
            float(d.variance.max().sqrt()) for d in (self.make_q(**q_parameters), self.make_p(**p_parameters))
        )
        q_parameters[self.location] = q_parameters[self.location] + 1_000 * deviation
        leaves = [t.requires_grad_() for t in (*q_parameters.values(), *p_parameters.values())]
        divergence = self.divergence(self.make_q(**q_parameters), self.make_p(**p_parameters))
        assert divergence.isfinite().all()
        assert (divergence > 1).all()
        for gradient in torch.autograd.grad(divergence.sum(), leaves):
            assert gradient.isfinite().all()


class KLChecks(DivergenceChecks):
    """Every check of :class:`DivergenceChecks` for a pair registered with torch's ``register_kl``.

    >>> from pyro.distributions import Gamma
    >>> class TestGammaKL(KLChecks):
    ...     location = None  # positive distributions cannot be moved
    ...     make_q = make_p = staticmethod(Gamma)
    ...     def q_parameters(self, batch_shape):
    ...         concentration, rate = 1 + torch.rand((2, *batch_shape), dtype=torch.float64)
    ...         return {"concentration": concentration, "rate": rate}
    ...     p_parameters = q_parameters
    >>> TestGammaKL().test_agrees_with_samples()
    """

    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return kl_divergence(q, p)

    def estimate(self, q: Distribution, p: Distribution) -> tuple[Tensor, Tensor]:
        z = q.sample(torch.Size([self.num_samples]))
        log_ratio = q.log_prob(z) - p.log_prob(z)
        return log_ratio.mean(0), log_ratio.std(0) / math.sqrt(self.num_samples)


class CauchySchwarzChecks(DivergenceChecks):
    """Every check of :class:`DivergenceChecks` for a pair registered with ``register_cauchy_schwarz``."""

    symmetric = True

    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return cauchy_schwarz(q, p)

    def estimate(self, q: Distribution, p: Distribution) -> tuple[Tensor, Tensor]:
        """From the averages A, B, C of q p / r, q^2 / r, p^2 / r over draws of r = (q + p) / 2.

        The standard error of -log A + 1/2 log B + 1/2 log C is that of the average of
        - q p / (r A) + q^2 / (2 r B) + p^2 / (2 r C), its expansion to first order.
        """
        size = torch.Size([self.num_samples])
        z = torch.stack([q.sample(size), p.sample(size)])
        density_q, density_p = q.log_prob(z).exp(), p.log_prob(z).exp()
        density_r = 0.5 * (density_q + density_p)
        products = torch.stack([density_q * density_p, density_q**2, density_p**2]) / density_r
        averages = products.mean((1, 2))
        shares = products / averages[:, None, None]
        coefficients = torch.tensor([-1.0, 0.5, 0.5], dtype=z.dtype)
        influence = torch.tensordot(coefficients, shares, 1)
        estimate = torch.tensordot(coefficients, averages.log(), 1)
        return estimate, influence.var(1).sum(0).sqrt() / (2 * math.sqrt(self.num_samples))


class SampleDivergenceChecks:
    """Base class of a test class for a divergence, or a measure of dependence, computed from samples.

    Subclasses define ``divergence``, ``samples`` and ``zero_samples``, and say whether rows belong together.
    Checked are types, single against double precision, gradients by ``gradcheck``, that the order of the rows
    does not matter, that the value is never negative, that it is zero where it should be, and that the
    gradient is finite where samples coincide.
    """

    paired: bool = False
    """Whether row i of one sample belongs to row i of another."""

    def divergence(self, *samples: Tensor) -> Tensor:
        """The divergence under test, a scalar."""
        raise NotImplementedError

    def samples(self) -> tuple[Tensor, ...]:
        """Random samples ``[n, D]`` in double precision, for which the divergence is positive."""
        raise NotImplementedError

    def zero_samples(self) -> tuple[Tensor, ...]:
        """Samples in double precision for which the divergence is exactly zero."""
        raise NotImplementedError

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_scalar_of_the_same_type(self, dtype: torch.dtype) -> None:
        divergence = self.divergence(*(sample.to(dtype) for sample in self.samples()))
        assert divergence.shape == ()
        assert divergence.dtype == dtype

    def test_single_agrees_with_double_precision(self) -> None:
        samples = self.samples()
        single = self.divergence(*(sample.float() for sample in samples))
        torch.testing.assert_close(single.double(), self.divergence(*samples), rtol=1e-5, atol=1e-5)

    def test_gradients(self) -> None:
        leaves = [sample.requires_grad_() for sample in self.samples()]
        assert torch.autograd.gradcheck(self.divergence, leaves)

    def test_order_of_rows_does_not_matter(self) -> None:
        samples = self.samples()
        orders = [torch.randperm(len(sample)) for sample in samples]
        if self.paired:
            orders = orders[:1] * len(samples)
        permuted = [sample[order] for sample, order in zip(samples, orders, strict=True)]
        torch.testing.assert_close(self.divergence(*permuted), self.divergence(*samples))

    def test_never_negative(self) -> None:
        for _ in range(20):
            assert self.divergence(*self.samples()) >= 0

    def test_zero_where_it_should_be(self) -> None:
        divergence = self.divergence(*self.zero_samples())
        torch.testing.assert_close(divergence, torch.zeros_like(divergence), atol=1e-12, rtol=0)

    def test_finite_gradient_where_samples_coincide(self) -> None:
        leaves = [sample[:1].expand_as(sample).clone().requires_grad_() for sample in self.samples()]
        for gradient in torch.autograd.grad(self.divergence(*leaves), leaves):
            assert gradient.isfinite().all()


def _cast(parameters: Mapping[str, Tensor], dtype: torch.dtype) -> Mapping[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in parameters.items()}
