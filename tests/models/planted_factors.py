"""Data of two planted factors behind a linear decoder, and a model that is to find them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyro_mixvae.models import FactorialMixtureVAE

#: With much less noise the likelihood is so stiff that a learned decoder hardly turns any more.
SIZES, NOISE = (3, 4), 0.5


def planted_factors(num_data: int = 600) -> tuple[Tensor, list[Tensor], Tensor]:
    """Data [N, 8], the two planted indices, and the decoder's matrix [8, 4] with orthonormal columns."""
    matrix = torch.linalg.qr(torch.randn(8, 8))[0][:, :4]
    indices = [torch.randint(size, (num_data,)) for size in SIZES]
    codes = []
    for size, index in zip(SIZES, indices, strict=True):
        angle = torch.arange(size) * 2 * torch.pi / size
        centres = 3 * torch.stack([angle.cos(), angle.sin()], -1)
        codes.append(centres[index] + 0.4 * torch.randn(num_data, 2))
    return torch.cat(codes, -1) @ matrix.T + NOISE * torch.randn(num_data, 8), indices, matrix


class LinearDecoder(nn.Module):
    """[4] -> [1, 8], the planted matrix or one that is learned."""

    def __init__(self, matrix: Tensor, learned: bool) -> None:
        super().__init__()
        if learned:
            self.matrix = nn.Parameter(0.5 * torch.randn_like(matrix))
        else:
            self.register_buffer("matrix", matrix)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.matrix.T).unsqueeze(-2)


def model_of(x: Tensor, matrix: Tensor, learned: bool) -> FactorialMixtureVAE:
    return FactorialMixtureVAE(
        (8,),
        num_data=len(x),
        latent_dim=2,
        num_components=SIZES,
        likelihood={"name": "normal", "scale": NOISE},
        encoder={"kind": "mlp", "hidden_dims": [64]},
        decoder=LinearDecoder(matrix, learned),
        delay=50.0,
    )
