"""Tiny model/guide pairs whose evidence, bounds and gradients are known, and control of a guide's draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn


@contextmanager
def standard_normal_draws(*noise: Tensor) -> Iterator[None]:
    """Have ``Normal.rsample`` use this noise, one tensor for each draw in turn, instead of random numbers."""
    remaining = list(noise)

    def draw(shape, dtype, device):
        return remaining.pop(0).to(dtype).expand(shape)

    with mock.patch("torch.distributions.normal._standard_normal", draw):
        yield
    assert not remaining, f"{len(remaining)} draws were not used"


def sign_patterns(dim: int) -> Tensor:
    """All vectors of signs, [2^dim, 1, dim]: the mean of a quadratic over them is its mean over N(0, I)."""
    return torch.tensor(list(itertools.product([-1.0, 1.0], repeat=dim))).unsqueeze(1)


def normal_log_prob(value: Tensor, loc: Tensor | float, scale: Tensor | float) -> Tensor:
    """log N(value; loc, scale^2), elementwise."""
    scale = torch.as_tensor(scale, dtype=value.dtype)
    return -0.5 * ((value - loc) / scale) ** 2 - scale.log() - 0.5 * math.log(2 * math.pi)


def normal_kl(loc: Tensor, scale: Tensor, other_loc: Tensor | float = 0.0, other_scale: Tensor | float = 1.0) -> Tensor:
    """KL(N(loc, scale^2) || N(other_loc, other_scale^2)), elementwise."""
    ratio = (scale / other_scale) ** 2
    return 0.5 * (ratio + ((loc - other_loc) / other_scale) ** 2 - 1 - torch.log(ratio))


class LinearGaussian(nn.Module):
    """z ~ N(0, I_2), x ~ N(W z + b, 0.7^2 I_3), with orthogonal columns of W so that the posterior is diagonal.

    The guide is N(loc, scale^2) for each of the data, with parameters [B, 2].
    """

    noise = 0.7

    def __init__(self, num_data: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, 0.5], [2.0, -0.5], [0.5, 1.0]]))
        self.bias = nn.Parameter(torch.tensor([0.3, -0.2, 0.1]))
        self.loc = nn.Parameter(torch.randn(num_data, 2))
        self.log_scale = nn.Parameter(0.3 * torch.randn(num_data, 2))
        self.x = torch.randn(num_data, 3) @ torch.diag(torch.tensor([1.0, 2.0, 1.0]))

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight.T + self.bias, self.noise).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.loc, self.log_scale.exp()).to_event(1))

    def log_evidence(self) -> Tensor:
        covariance = self.weight @ self.weight.T + self.noise**2 * torch.eye(3)
        return dist.MultivariateNormal(self.bias, covariance).log_prob(self.x)

    def posterior(self) -> tuple[Tensor, Tensor]:
        """Mean [B, 2] and standard deviation [2] of z given x."""
        precision = torch.eye(2) + self.weight.T @ self.weight / self.noise**2
        loc = torch.linalg.solve(precision, self.weight.T @ (self.x - self.bias).T / self.noise**2).T
        assert precision[0, 1].abs() < 1e-6 * precision[0, 0], "columns of W should be orthogonal"
        return loc, precision.diagonal().rsqrt()

    def set_guide_to_posterior(self) -> None:
        with torch.no_grad():
            loc, scale = self.posterior()
            self.loc.copy_(loc)
            self.log_scale.copy_(scale.log().expand_as(self.log_scale))


class Mixture(nn.Module):
    """c ~ Cat(weights), z ~ N(loc_c, scale_c^2), x ~ N(z, 0.5^2); guide q(z) and, where asked for, q(c | z)."""

    def __init__(self, num_data: int = 3, enumerate_in: str = "guide", how: str = "parallel") -> None:
        super().__init__()
        self.enumerate_in, self.how = enumerate_in, how
        self.logits = nn.Parameter(torch.tensor([0.2, -0.4, 0.9]))
        self.locs = nn.Parameter(torch.tensor([-1.5, 0.3, 2.0]))
        self.scales = nn.Parameter(torch.tensor([0.6, 1.1, 0.4]))
        self.q_loc = nn.Parameter(torch.linspace(-1, 1.5, num_data))
        self.q_scale = nn.Parameter(torch.linspace(0.4, 0.9, num_data))
        self.slope = nn.Parameter(torch.tensor([-0.7, 0.1, 0.8]))
        self.x = torch.linspace(-2, 2, num_data)

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.Categorical(logits=self.logits), infer={"enumerate": self.how})
            z = pyro.sample("z", dist.Normal(self.locs[c], self.scales[c]))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(self.q_loc, self.q_scale))
            if self.enumerate_in == "guide":
                c = dist.Categorical(logits=z.unsqueeze(-1) * self.slope)
                pyro.sample("c", c, infer={"enumerate": self.how})


def gradients(loss: Tensor, module: nn.Module) -> dict[str, Tensor]:
    """The gradient of every parameter; zero where it takes no part."""
    names, parameters = zip(*module.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return {name: torch.zeros_like(p) if g is None else g for name, p, g in zip(names, parameters, found, strict=True)}


def assert_same_value_and_gradients(first: Tensor, second: Tensor, module: nn.Module, rtol: float = 1e-9) -> None:
    """Two losses agree relatively, and so does each parameter's gradient (relative to its largest entry)."""
    torch.testing.assert_close(first, second, rtol=rtol, atol=0.0)
    expected = gradients(second, module)
    for name, gradient in gradients(first, module).items():
        atol = rtol * expected[name].abs().max().item() + 1e-14
        torch.testing.assert_close(gradient, expected[name], rtol=0.0, atol=atol, msg=lambda m, n=name: f"{n}: {m}")
