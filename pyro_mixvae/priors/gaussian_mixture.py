"""A Gaussian mixture as prior."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyro_mixvae.distributions import GaussianMixture
from pyro_mixvae.nn import NetworkSpec, build_network, positive_scale, unconstrained_scale
from pyro_mixvae.nn.heads import MIN_SCALE
from pyro_mixvae.priors.keep import keep

#: What follows the K learned inputs, of 784 values each, in the paper: ReLU, FC 256, ReLU, FC 2D.
TABLE_VI: NetworkSpec = {"kind": "mlp", "hidden_dims": [256], "init": "glorot"}


class GaussianMixturePrior(nn.Module):
    r"""p(z), a mixture of K diagonal Gaussians whose means and scales are learned.

    .. math:: p(z) = \sum_{k=1}^K \pi_k \, \mathcal{N}\big(z; \mu_k, \operatorname{diag} \sigma_k^2\big)

    Means and scales are parameters, or a network's outputs for K learned inputs, one for each component (a linear
    layer of a one-hot k is nothing else).

    Args:
        num_components: K.
        dim: dimension of z.
        network: False: parameters. True: the paper's network. A description or a module: another network [input_dim]
            -> [2 dim], the mean and the unconstrained scale of one component; its inputs pass a ReLU first.
        learn_weights: learn the weights :math:`\pi_k`; else they are 1/K.
        locs: means to start from, [K, dim]; None: standard normal draws. Not with a network.
        scale: standard deviation of every component at the start. Not with a network.
        fixed: keep means and scales as they start. Not with a network.
        input_dim: size of one learned input of the network.

    Raises:
        ValueError: for sizes below 1, means of another shape or not finite, a scale that underflows, or a start that
            is given for a network.

    Example:
        >>> GaussianMixturePrior(5, dim=2)()
        GaussianMixture(num_components: 5, batch_shape: (), event_shape: (2,))

    Source: Cauchy-Schwarz paper, section 3.2 and table VI.
    """

    logits: Tensor
    locs: Tensor
    raw_scales: Tensor

    def __init__(
        self,
        num_components: int,
        dim: int,
        network: bool | NetworkSpec = False,
        learn_weights: bool = False,
        locs: Tensor | Sequence[Sequence[float]] | None = None,
        scale: float = 1.0,
        fixed: bool = False,
        input_dim: int = 784,
    ) -> None:
        super().__init__()
        for name, size in {"num_components": num_components, "dim": dim, "input_dim": input_dim}.items():
            if size < 1:
                raise ValueError(f"{name}: expected an integer >= 1, got {size}")
        self.num_components, self.dim = num_components, dim
        keep(self, "logits", torch.zeros(num_components), learn_weights)
        self.network: nn.Module | None = None
        if network is False:
            self._start(locs, scale, learned=not fixed)
        elif locs is not None or scale != 1.0 or fixed:
            raise ValueError("locs, scale, fixed: with a network they cannot be given, it makes the means and scales")
        else:
            self.inputs = nn.Parameter(torch.randn(num_components, input_dim))
            self.network = build_network(
                TABLE_VI if network is True else network, (input_dim,), (2 * dim,), name="network"
            )

    def _start(self, locs: Tensor | Sequence[Sequence[float]] | None, scale: float, learned: bool) -> None:
        if not MIN_SCALE < scale < math.inf:
            raise ValueError(f"scale: expected a finite number > {MIN_SCALE:g}, below which it underflows, got {scale}")
        shape = (self.num_components, self.dim)
        first = torch.randn(shape) if locs is None else torch.as_tensor(locs, dtype=torch.get_default_dtype())
        if first.shape != shape:
            raise ValueError(f"locs: expected shape {list(shape)}, got {list(first.shape)}")
        if not first.is_meta and not first.isfinite().all():
            raise ValueError("locs: expected finite numbers, got nan or inf")
        keep(self, "locs", first.clone(), learned)
        keep(self, "raw_scales", unconstrained_scale(torch.full(shape, scale)), learned)

    def forward(self) -> GaussianMixture:
        """The mixture: batch shape [], event shape [dim]."""
        if self.network is None:
            locs, raw_scales = self.locs, self.raw_scales
        else:
            locs, raw_scales = self.network(self.inputs.relu()).to(self.inputs.dtype).chunk(2, dim=-1)
        return GaussianMixture(self.logits, locs, positive_scale(raw_scales), validate_args=False)
