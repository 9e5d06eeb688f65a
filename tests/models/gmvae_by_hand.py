"""The GMVAE's objectives written out from the paper, in plain torch, at given noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from pyro_mixvae.models import GMVAE
from tests.infer.pairs import normal_kl, normal_log_prob


def tiny_gmvae(num_components: int = 3, likelihood="bernoulli", **options) -> GMVAE:
    """A GMVAE on [2, 3] data, in float64, whose components are far enough apart to matter."""
    network = {"kind": "mlp", "hidden_dims": [7], "activation": "tanh"}
    settings = {"encoder": network, "decoder": network, "prior_network": network, "style_dim": 2} | options
    model = GMVAE((2, 3), latent_dim=2, num_components=num_components, likelihood=likelihood, **settings)
    with torch.no_grad():
        for parameter in model.prior_network.parameters():
            parameter.mul_(2)
    return model.double()


def tiny_data(num_data: int = 5) -> Tensor:
    return torch.rand(num_data, 2, 3, dtype=torch.float64)


class ByHand:
    """What the objectives are made of, at the guide's draws [M, B, *] for the noise that a seed gives.

    Attributes:
        reconstruction: log p(x | z), [M, B].
        log_joint: a_c = log 1/K + log p(z | w, c), [M, B, K].
        weights, log_weights: p(c | z, w), [M, B, K].
    """

    def __init__(self, model: GMVAE, x: Tensor, seed: int, num_draws: int = 1) -> None:
        torch.manual_seed(seed)
        raw_z, raw_w = model.encoder(x).split([2 * model.latent_dim, 2 * model.style_dim], -1)
        self.z_loc, self.z_scale = raw_z.chunk(2, -1)[0], softplus(raw_z.chunk(2, -1)[1]) + 1e-4
        self.w_loc, self.w_scale = raw_w.chunk(2, -1)[0], softplus(raw_w.chunk(2, -1)[1]) + 1e-4
        # the guide draws w first, then z
        self.w = self.w_loc + self.w_scale * torch.randn(num_draws, *self.w_loc.shape, dtype=x.dtype)
        self.z = self.z_loc + self.z_scale * torch.randn(num_draws, *self.z_loc.shape, dtype=x.dtype)
        self.locs, raw_scales = model.prior_network(self.w).unbind(-3)  # [M, B, K, D]
        self.scales = softplus(raw_scales) + 1e-4
        self.log_k = math.log(model.num_components)
        self.log_joint = normal_log_prob(self.z.unsqueeze(-2), self.locs, self.scales).sum(-1) - self.log_k
        self.log_weights = self.log_joint - self.log_joint.logsumexp(-1, keepdim=True)
        self.weights = self.log_weights.exp()
        raw = model.decoder(self.z)  # [M, B, n, 2, 3]
        if model.likelihood == "bernoulli":
            logits = raw[..., 0, :, :]
            log_prob = x * logsigmoid(logits) + (1 - x) * logsigmoid(-logits)
        elif model.likelihood == "normal":
            log_prob = normal_log_prob(x, raw[..., 0, :, :], softplus(raw[..., 1, :, :]) + 1e-4)
        else:
            log_prob = normal_log_prob(x, raw[..., 0, :, :], model.likelihood["scale"])
        self.reconstruction = log_prob.sum((-1, -2))

    def terms(self) -> dict[str, Tensor]:
        """Equation 4's four terms, as costs [M, B]: their sum is the negative objective per datum."""
        z_loc, z_scale = self.z_loc.unsqueeze(-2), self.z_scale.unsqueeze(-2)
        kl_z = normal_kl(z_loc, z_scale, self.locs, self.scales).sum(-1)
        return {
            "x": -self.reconstruction,
            "z": (self.weights * kl_z).sum(-1),
            "w": normal_kl(self.w_loc, self.w_scale).sum(-1).expand(self.reconstruction.shape),
            "c": (self.weights * (self.log_weights + self.log_k)).sum(-1),
        }

    def equation4(self, floor: float | None = None) -> Tensor:
        """The negative objective of equation 4, summed over the data; with a floor, equation 7's constraint on c."""
        terms = self.terms()
        num_data = self.reconstruction.shape[1]
        c_term = terms.pop("c").mean()
        if floor is not None:
            c_term = torch.maximum(c_term, torch.tensor(floor, dtype=c_term.dtype))
        return sum(term.mean(0).sum() for term in terms.values()) + num_data * c_term

    def enumerated(self, where: str) -> Tensor:
        """Minus the ELBO with every term at the guide's draw and c summed out, [M, B].

        In the guide: sum_c q(c | z, w) (log p(z, c | w) - log q(c | z, w)); in the model: log sum_c p(z, c | w).
        """
        if where == "model":
            log_prior_z = torch.log(sum(self.log_joint[..., k].exp() for k in range(self.log_joint.shape[-1])))
        else:
            log_prior_z = 0
            for k in range(self.log_joint.shape[-1]):
                ratio = self.log_joint[..., k] - self.log_weights[..., k]
                log_prior_z = log_prior_z + self.weights[..., k] * ratio
        log_p = self.reconstruction + log_prior_z + normal_log_prob(self.w, 0.0, 1.0).sum(-1)
        log_q_w = normal_log_prob(self.w, self.w_loc, self.w_scale).sum(-1)
        log_q_z = normal_log_prob(self.z, self.z_loc, self.z_scale).sum(-1)
        return log_q_w + log_q_z - log_p
