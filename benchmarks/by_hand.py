"""The models of the speed study as one would write them by hand, in plain torch: no Pyro, no abstraction, no checks.

Each is a module whose call gives the same objective per datum as the package's model of that name
(``tests/benchmarks/test_by_hand.py`` compares the two at the same weights and noise).
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, softplus

DATA = 784


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), activation()]
    return nn.Sequential(*layers[:-1])


def gaussian(raw: Tensor) -> tuple[Tensor, Tensor]:
    loc, raw_scale = raw.chunk(2, -1)
    return loc, softplus(raw_scale) + 1e-4


def kl_to_standard(loc: Tensor, scale: Tensor) -> Tensor:
    return (0.5 * (loc.square() + scale.square() - 1) - scale.log()).sum()


class HandVAE(nn.Module):
    """784-300-300-20 and back, Bernoulli likelihood, the negative ELBO."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(DATA, 300, 300, 40), mlp(20, 300, 300, DATA)

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        z = loc + scale * torch.randn_like(scale)
        reconstruction = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + kl_to_standard(loc, scale)) / len(x)


class HandGMVAE(nn.Module):
    """784-500-500-10 and back, K = 10, the negative of the paper's equation 4."""

    def __init__(self, num_components: int = 10, dim: int = 10) -> None:
        super().__init__()
        self.num_components, self.dim = num_components, dim
        self.encoder, self.decoder = mlp(DATA, 500, 500, 4 * dim), mlp(dim, 500, 500, DATA)
        self.prior = mlp(dim, 500, 2 * num_components * dim, activation=nn.Tanh)

    def forward(self, x: Tensor) -> Tensor:
        raw_z, raw_w = self.encoder(x).chunk(2, -1)
        (loc, scale), (w_loc, w_scale) = gaussian(raw_z), gaussian(raw_w)
        z = loc + scale * torch.randn_like(scale)
        w = w_loc + w_scale * torch.randn_like(w_scale)
        locs, raw_scales = self.prior(w).reshape(-1, 2, self.num_components, self.dim).unbind(1)
        scales = softplus(raw_scales) + 1e-4
        log_density = -(0.5 * ((z.unsqueeze(1) - locs) / scales).square() + scales.log()).sum(-1)
        log_weights = log_density.log_softmax(-1)
        weights = log_weights.exp()
        ratio = (scale.unsqueeze(1) / scales).square()
        distance = ((loc.unsqueeze(1) - locs) / scales).square()
        kl = 0.5 * (ratio + distance - 1 - ratio.log()).sum(-1)
        c_prior = (weights * (log_weights - log_weights.new_tensor(1 / self.num_components).log())).sum()
        reconstruction = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction + (weights * kl).sum() + kl_to_standard(w_loc, w_scale) + c_prior) / len(x)


class HandCSRAE(nn.Module):
    """784-300-300-20 and back, the Cauchy-Schwarz divergence to a learned mixture of K = 400 Gaussians, lambda = 1."""

    def __init__(self, num_components: int = 400, dim: int = 20) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(DATA, 300, 300, 2 * dim), mlp(dim, 300, 300, DATA)
        self.locs = nn.Parameter(torch.randn(num_components, dim))
        self.log_scales = nn.Parameter(torch.zeros(num_components, dim))
        self.logits = nn.Parameter(torch.zeros(num_components))

    @staticmethod
    def log_products(locs: Tensor, variances: Tensor, other: Tensor, other_variances: Tensor) -> Tensor:
        """log of the integral of the product of every pair of Gaussians, less the constant that cancels."""
        total = variances.unsqueeze(-2) + other_variances.unsqueeze(-3)
        distance = (locs.unsqueeze(-2) - other.unsqueeze(-3)).square()
        return -0.5 * (distance / total + total.log()).sum(-1)

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        z = loc + scale * torch.randn_like(scale)
        reconstruction = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        log_weights, variances = self.logits.log_softmax(-1), (2 * self.log_scales).exp()
        cross = (log_weights + self.log_products(loc, scale.square(), self.locs, variances)).logsumexp(-1)
        pairs = log_weights + log_weights.unsqueeze(-1) + self.log_products(self.locs, variances, self.locs, variances)
        own = -0.5 * (2 * scale.square()).log().sum(-1)
        divergence = 0.5 * (own + pairs.logsumexp((0, 1))) - cross
        return (reconstruction + divergence.sum()) / len(x)


class HandFactorial(nn.Module):
    """784-500-500-64 and back, I = 1, K = 64; :meth:`after` makes the natural-gradient step of q(xi)."""

    def __init__(self, num_data: int, num_components: int = 64, dim: int = 64) -> None:
        super().__init__()
        self.num_data, self.num_steps = num_data, 0
        self.encoder, self.decoder = mlp(DATA, 500, 500, 2 * dim), mlp(dim, 500, 500, DATA)
        self.prior = (1.0, 0.01, 0.0, 1.0, 0.01)  # c0, a0, m0, s0, b0
        shape, share = (num_components, dim), num_data / num_components
        self.register_buffer("c", torch.full(shape[:1], 1.0 + share, dtype=torch.float64))
        for name, value in {"s": share, "a": share / 2, "b": share / 2}.items():
            self.register_buffer(name, torch.full(shape, value, dtype=torch.float64))
        self.register_buffer("m", torch.randn(shape, dtype=torch.float64))

    def statistics(self) -> tuple[Tensor, ...]:
        """E log pi, E log alpha, E alpha, E alpha mu, E alpha mu^2."""
        precision = self.a / self.b
        log_pi = self.c.digamma() - self.c.sum().digamma()
        return (
            log_pi,
            self.a.digamma() - self.b.log(),
            precision,
            precision * self.m,
            precision * self.m**2 + 1 / self.s,
        )

    def log_densities(self, loc: Tensor, scale: Tensor, statistics: tuple[Tensor, ...]) -> Tensor:
        """E log N(z; mu_k, 1 / alpha_k) over q(z) and q(xi), [B, K]; as matrix products."""
        _, log_alpha, alpha, alpha_mu, alpha_mu2 = statistics
        constant = 0.5 * (log_alpha - math.log(2 * math.pi) - alpha_mu2).sum(-1)
        return constant - 0.5 * (loc**2 + scale**2) @ alpha.T + loc @ alpha_mu.T

    def kl_of_xi(self) -> Tensor:
        """KL of q(xi) from p(xi); a constant for the optimiser of the networks."""
        c0, a0, m0, s0, b0 = self.prior
        c = self.c
        total = torch.lgamma(c.sum()) - torch.lgamma(c).sum() - math.lgamma(len(c) * c0) + len(c) * math.lgamma(c0)
        total = total + ((c - c0) * (c.digamma() - c.sum().digamma())).sum()
        gamma = (self.a - a0) * self.a.digamma() - torch.lgamma(self.a) + math.lgamma(a0)
        gamma = gamma + a0 * (self.b.log() - math.log(b0)) + self.a * (b0 - self.b) / self.b
        ratio = s0 / self.s
        normal = 0.5 * (ratio - 1 - ratio.log() + s0 * (self.m - m0) ** 2 * self.a / self.b)
        return total + (gamma + normal).sum()

    def forward(self, x: Tensor) -> Tensor:
        loc, scale = gaussian(self.encoder(x))
        z = loc + scale * torch.randn_like(scale)
        statistics = self.statistics()
        densities = self.log_densities(loc.double(), scale.double(), statistics)
        log_gamma = (densities + statistics[0]).detach().log_softmax(-1)
        gamma = log_gamma.exp()
        entropy = (scale.log() + 0.5 * math.log(2 * math.pi * math.e)).sum()
        prior = (gamma * (log_gamma - statistics[0] - densities)).sum()
        reconstruction = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        return (reconstruction - entropy + prior) / len(x) + self.kl_of_xi() / self.num_data

    @torch.no_grad()
    def after(self, x: Tensor) -> None:
        """lambda <- (1 - rho) lambda + rho lambda*, for all of q(xi)."""
        c0, a0, m0, s0, b0 = self.prior
        loc, scale = (part.double() for part in gaussian(self.encoder(x)))
        statistics = self.statistics()
        gamma = (self.log_densities(loc, scale, statistics) + statistics[0]).softmax(-1) * (self.num_data / len(x))
        rho = (2000.0 + self.num_steps) ** -0.7
        self.num_steps += 1
        count = gamma.sum(0)
        first, second = gamma.T @ loc, gamma.T @ (loc**2 + scale**2)
        sm, energy = self.s * self.m, 2 * self.b + self.s * self.m**2
        self.c.mul_(1 - rho).add_(rho * (c0 + count))
        a = (1 - rho) * self.a + rho * (a0 + 0.5 * count.unsqueeze(-1))
        s = (1 - rho) * self.s + rho * (s0 + count.unsqueeze(-1))
        m = ((1 - rho) * sm + rho * (s0 * m0 + first)) / s
        self.b.copy_(0.5 * ((1 - rho) * energy + rho * (2 * b0 + s0 * m0**2 + second) - s * m**2))
        self.a.copy_(a), self.m.copy_(m), self.s.copy_(s)


class HandMVAE(nn.Module):
    """K = 6 encoders 784-500-500-10, sub-decoders to 500, one decoder; Gumbel-softmax dropout, beta = 1."""

    def __init__(self, num_components: int = 6, dim: int = 10, width: int = 500) -> None:
        super().__init__()
        self.num_components, self.dim = num_components, dim
        sizes = [(DATA, width), (width, width), (width, 2 * dim + 1), (dim, width)]
        self.weights = nn.ParameterList(torch.randn(num_components, *size) / size[0] ** 0.5 for size in sizes)
        self.biases = nn.ParameterList(torch.zeros(num_components, 1, size[1]) for size in sizes)
        self.decoder = mlp(width, width, DATA)
        self.logit = nn.Parameter(torch.tensor(-2.2))

    def layer(self, number: int, x: Tensor) -> Tensor:
        return torch.baddbmm(self.biases[number], x, self.weights[number])

    def dhsic(self, z: Tensor) -> Tensor:
        """dHSIC of K codes [K, B, D], by the median heuristic."""
        squared = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist").square()
        rows, columns = torch.triu_indices(z.shape[1], z.shape[1], 1)
        ordered = squared[:, rows, columns].detach().sort().values
        middle = ordered.shape[-1]
        median = 0.5 * (ordered[:, (middle - 1) // 2] + ordered[:, middle // 2])
        kernel = (-squared / median[:, None, None]).exp()
        return kernel.prod(0).mean() + kernel.mean((1, 2)).prod() - 2 * kernel.mean(-1).prod(0).mean()

    def forward(self, x: Tensor) -> Tensor:
        count, data = self.num_components, len(x)
        hidden = relu(self.layer(1, relu(self.layer(0, x.expand(count, -1, -1)))))
        raw = self.layer(2, hidden)
        loc, scale = raw[..., : self.dim], softplus(raw[..., self.dim : -1]) + 1e-4
        a = softplus(raw[..., -1]).T + 0.01
        w = torch.distributions.Dirichlet(a, validate_args=False).rsample()
        z = loc + scale * torch.randn_like(scale)
        p, u = self.logit.sigmoid(), torch.rand(count, data)
        drawn = torch.sigmoid(((1 - p).log() - p.log() + u.log() - (-u).log1p()) / 0.1)
        b = w.T * drawn.clamp(min=1e-6)
        b = b / b.sum(0)
        mixed = (b.unsqueeze(-1) * relu(self.layer(3, z))).sum(0)
        reconstruction = 0.5 * (self.decoder(mixed) - x).square().sum()
        total = a.sum(-1)
        dirichlet = total.lgamma() - a.lgamma().sum(-1) - math.lgamma(count)
        dirichlet = dirichlet + ((a - 1) * (a.digamma() - total.digamma().unsqueeze(-1))).sum(-1)
        cost = p * p.log() + (1 - p) * (1 - p).log()
        return (reconstruction + dirichlet.sum() + kl_to_standard(loc, scale) / count) / data + self.dhsic(z) + cost
