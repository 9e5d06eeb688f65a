"""The MVAE's loss written out from SPEC section 6 in plain torch, component by component, at given noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pyro_mixvae.models import MVAE
from tests.infer.pairs import normal_kl


def tiny_mvae(num_components: int = 3, **options) -> MVAE:
    """An MVAE on [2, 3] data, in float64, whose components differ."""
    settings = {
        "latent_dim": 2,
        "encoder": {"kind": "mlp", "hidden_dims": [7], "activation": "tanh"},
        "mixed_shape": (5,),
        "sub_activation": "tanh",
        "decoder": {"kind": "mlp", "hidden_dims": [7], "activation": "tanh"},
    } | options
    model = MVAE((2, 3), num_components=num_components, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter is not model.masks.logit:
                parameter.mul_(2)
    return model.double()


def tiny_data(num_data: int = 8) -> Tensor:
    return torch.rand(num_data, 2, 3, dtype=torch.float64)


def dhsic_by_hand(codes: Tensor) -> Tensor:
    """dHSIC of [K, n, D] by its definition, the bandwidth by the median heuristic."""
    num_data = codes.shape[1]
    joint, product, cross = 1.0, 1.0, 1.0
    for z in codes:
        squared = (z.unsqueeze(0) - z.unsqueeze(1)).square().sum(-1)
        first, second = torch.triu_indices(num_data, num_data, offset=1)
        ordered = squared[first, second].detach().sort().values
        middle = len(ordered)
        median = (ordered[(middle - 1) // 2] + ordered[middle // 2]) / 2
        kernel = torch.exp(-squared / median)  # 2 h^2 = median
        joint, product, cross = joint * kernel, product * kernel.mean(), cross * kernel.mean(-1)
    return joint.mean() + product - 2 * cross.mean()


class ByHand:
    """The loss's parts per datum, [P, B] or scalars, at the guide's draws for the noise that a seed gives."""

    def __init__(self, model: MVAE, x: Tensor, seed: int, y: Tensor | None = None, num_draws: int = 1) -> None:
        count, dim = model.num_components, model.latent_dim
        label = torch.zeros(len(x), model.num_classes or 0, dtype=x.dtype)
        if y is not None:
            label[torch.arange(len(y))[y >= 0], y[y >= 0]] = 1
        locs, scales, concentrations = [], [], []
        for k in range(count):
            first, second = model.encoder.layers[0], model.encoder.layers[2]
            hidden = torch.tanh(torch.cat([x.flatten(1), label], 1) @ first.weight[k].T + first.bias[k])
            raw = hidden @ second.weight[k] + second.bias[k]
            locs.append(raw[:, :dim])
            scales.append(softplus(raw[:, dim : 2 * dim]) + 1e-4)
            concentrations.append(softplus(raw[:, -1]) + 0.01)
        a = torch.stack(concentrations, -1)

        torch.manual_seed(seed)
        particles = (num_draws, 1) if num_draws > 1 else ()
        w = torch.distributions.Dirichlet(a.expand(*particles, *a.shape)).rsample().reshape(num_draws, len(x), count)
        noise = torch.randn(num_draws, count, len(x), dim, dtype=x.dtype)
        z = torch.stack(locs) + torch.stack(scales) * noise  # [P, K, B, D]
        b = w * self.masks(model, (num_draws, count, len(x)), x.dtype).transpose(1, 2)
        b = b / b.sum(-1, keepdim=True)

        layer = model.sub_decoder.layer
        mixed = torch.zeros(num_draws, len(x), 5, dtype=x.dtype)
        for k in range(count):
            code = torch.cat([z[:, k], label.expand(num_draws, -1, -1)], -1)
            mixed = mixed + b[..., k, None] * torch.tanh(code @ layer.weight[k] + layer.bias[k])
        mean = model.decoder(mixed).squeeze(-3)
        self.reconstruction = 0.5 * (mean - x).square().sum((-1, -2))
        self.w_prior = self.dirichlet_kl(a, torch.full((count,), model.prior_concentration, dtype=x.dtype))
        self.z_prior = sum(normal_kl(loc, scale).sum(-1) for loc, scale in zip(locs, scales, strict=True))
        self.dhsic = torch.stack([dhsic_by_hand(codes) for codes in z]).mean() if count > 1 else torch.zeros(())
        self.dropout = self.cost(model)

    @staticmethod
    def masks(model: MVAE, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Draws of m, [P, K, B]."""
        if model.dropout == "none":
            return torch.ones(shape, dtype=dtype)
        p = ByHand.rates(model).unsqueeze(-1)
        if model.dropout == "gaussian":
            drawn = 1 + (p / (1 - p)).sqrt() * torch.randn(shape, dtype=dtype)
        else:
            u = torch.rand(shape, dtype=dtype)
            g = u.log() - (-u).log1p()  # the difference of two Gumbel variables
            drawn = torch.sigmoid(((1 - p).log() - p.log() + g) / 0.1)
        return drawn.clamp(min=1e-6) * (p <= 0.95)

    @staticmethod
    def rates(model: MVAE) -> Tensor:
        share = model.masks.logit.sigmoid()
        one = 0.5 * share if model.dropout == "gaussian" else share
        return share if model.per_component else one.expand(model.num_components)

    @staticmethod
    def cost(model: MVAE) -> Tensor:
        """R of SPEC section 6."""
        if model.dropout == "none":
            return torch.zeros((), dtype=torch.float64)
        p = ByHand.rates(model)
        if model.dropout == "gumbel":
            return (p * p.log() + (1 - p) * (1 - p).log()).mean()
        tau = p / (1 - p)
        if model.per_component:
            k1, k2, k3 = 0.63576, 1.87320, 1.48695
            return (0.5 * torch.log(1 + 1 / tau) + k1 - k1 * torch.sigmoid(k2 + k3 * tau.log())).sum()
        c1, c2, c3 = 1.16145124, -1.50204118, 0.58629921
        return -(-(c1 + c2 + c3) + 0.5 * tau.log() + c1 * tau + c2 * tau**2 + c3 * tau**3).sum()

    @staticmethod
    def dirichlet_kl(a: Tensor, b: Tensor) -> Tensor:
        """Equation 28."""
        a0, b0 = a.sum(-1), b.sum(-1)
        kl = torch.lgamma(a0) - torch.lgamma(a).sum(-1) - torch.lgamma(b0) + torch.lgamma(b).sum(-1)
        return kl + ((a - b) * (torch.digamma(a) - torch.digamma(a0).unsqueeze(-1))).sum(-1)

    def loss(self, beta: float, kl_weight: float) -> Tensor:
        """Summed over the data."""
        per_datum = self.reconstruction.mean(0) + self.w_prior + kl_weight * self.z_prior
        return (per_datum + beta * self.dhsic + self.dropout).sum()


def constant(num_values: int = 6) -> float:
    """What the loss leaves out of a unit Normal's log-density, in nats per datum."""
    return 0.5 * num_values * math.log(2 * math.pi)
