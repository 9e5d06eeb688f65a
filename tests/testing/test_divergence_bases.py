"""The batteries themselves: they pass what is right and catch what is wrong, whatever is wrong with it."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from pyro_mixvae.divergences import cauchy_schwarz, mmd
from pyro_mixvae.testing import CauchySchwarzChecks, KLChecks, SampleDivergenceChecks


class TestNormalKL(KLChecks):
    """What torch registers passes."""

    make_q = make_p = staticmethod(dist.Normal)

    def q_parameters(self, batch_shape):
        loc = torch.randn(batch_shape, dtype=torch.float64)
        return {"loc": loc, "scale": 0.5 + torch.rand(batch_shape, dtype=torch.float64)}

    p_parameters = q_parameters


class RightCauchySchwarz(CauchySchwarzChecks):
    make_q = make_p = staticmethod(dist.Normal)
    q_parameters = p_parameters = TestNormalKL.q_parameters


class OneSelfTermOnly(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return cauchy_schwarz(q, p) + 0.1 * (q.scale / p.scale).log()


class TwiceTheVariance(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return cauchy_schwarz(Normal(q.loc, 2**0.5 * q.scale), Normal(p.loc, 2**0.5 * p.scale))


class GradientCut(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return cauchy_schwarz(q, Normal(p.loc, p.scale.detach() + 0 * p.scale))


class SumOverTheBatch(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        divergence = cauchy_schwarz(q, p)
        return divergence.mean().expand_as(divergence)


class AlwaysDouble(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return cauchy_schwarz(q, p).double()


class OutsideLogSpace(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return -(-cauchy_schwarz(q, p)).exp().log()


class ForgetsToBroadcast(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        divergence = cauchy_schwarz(q, p)
        return divergence[0] if divergence.dim() > 1 else divergence


class TooLow(RightCauchySchwarz):
    def divergence(self, q: Distribution, p: Distribution) -> Tensor:
        return cauchy_schwarz(q, p) - 0.2


@pytest.mark.parametrize(
    ("battery", "check"),
    [
        (OneSelfTermOnly, "test_agrees_with_samples"),
        (OneSelfTermOnly, "test_symmetric_where_it_should_be"),
        (OneSelfTermOnly, "test_zero_for_equal_arguments"),
        (TwiceTheVariance, "test_agrees_with_samples"),
        (GradientCut, "test_gradients"),
        (SumOverTheBatch, "test_each_entry_of_a_batch_is_a_divergence_of_its_own"),
        (OutsideLogSpace, "test_finite_a_thousand_standard_deviations_apart"),
        (ForgetsToBroadcast, "test_expand"),
        (TooLow, "test_never_negative"),
        (TooLow, "test_zero_for_equal_arguments"),
        (TooLow, "test_agrees_with_samples"),
    ],
)
def test_a_wrong_divergence_is_caught(battery, check):
    getattr(RightCauchySchwarz(), check)()
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(battery(), check)()


@pytest.mark.parametrize(
    ("battery", "arguments"),
    [(AlwaysDouble, ((), (), torch.float32)), (ForgetsToBroadcast, ((4, 1, 1), (2, 3), torch.float64))],
)
def test_wrong_types_and_shapes_are_caught(battery, arguments):
    RightCauchySchwarz().test_shapes_and_types(*arguments)
    with pytest.raises(AssertionError):
        battery().test_shapes_and_types(*arguments)


class RightMMD(SampleDivergenceChecks):
    def divergence(self, *samples: Tensor) -> Tensor:
        return mmd(*samples)

    def samples(self) -> tuple[Tensor, ...]:
        return torch.randn(6, 2).double(), torch.randn(8, 2).double()

    def zero_samples(self) -> tuple[Tensor, ...]:
        x = torch.randn(6, 2).double()
        return x, x


class Unbiased(RightMMD):
    """The U-statistic, which can be negative."""

    def divergence(self, *samples: Tensor) -> Tensor:
        x, y = samples
        n, m = len(x), len(y)
        return mmd(x, y) - (1 - _off_diagonal_mean(x)) / n - (1 - _off_diagonal_mean(y)) / m


def _off_diagonal_mean(x: Tensor) -> Tensor:
    similarity = 1 / (1 + (x[:, None] - x).square().sum(-1) / 4)
    return (similarity.sum() - len(x)) / (len(x) * (len(x) - 1))


class ByRoots(RightMMD):
    """Distances by a square root, whose gradient is infinite where samples coincide."""

    def divergence(self, *samples: Tensor) -> Tensor:
        x, y = samples
        return mmd(x, y) + 0 * (x[:, None] - x).square().sum(-1).sqrt().sum()


class DependsOnOrder(RightMMD):
    def divergence(self, *samples: Tensor) -> Tensor:
        return mmd(*samples) + samples[0][0, 0] ** 2


@pytest.mark.parametrize(
    ("battery", "check"),
    [
        (Unbiased, "test_never_negative"),
        (Unbiased, "test_zero_where_it_should_be"),
        (ByRoots, "test_finite_gradient_where_samples_coincide"),
        (DependsOnOrder, "test_order_of_rows_does_not_matter"),
    ],
)
def test_a_wrong_divergence_of_samples_is_caught(battery, check):
    getattr(RightMMD(), check)()
    with pytest.raises(AssertionError):
        getattr(battery(), check)()
