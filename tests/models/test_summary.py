"""A model says in a line what it is, and in a table what it is made of."""

from __future__ import annotations

import pytest

from pyro_mixvae.models import CSRAE, GMVAE, MVAE, VAE, FactorialMixtureVAE, MixtureVAE, SemiSupervisedCSRAE

SMALL = {"kind": "mlp", "hidden_dims": [8]}
MODELS = [
    VAE((4,), 2, encoder=SMALL, decoder=SMALL),
    GMVAE((4,), 2, num_components=3, style_dim=2),
    CSRAE((4,), 2, num_components=3, prior="gaussian-mixture", likelihood="normal"),
    SemiSupervisedCSRAE((4,), num_classes=3),
    FactorialMixtureVAE((4,), num_data=10, latent_dim=2, num_components=[2, 3]),
    MVAE((4,), 2, num_components=3),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_repr_rebuilds_the_model_and_summary_counts_it(model):
    again = eval(repr(model), {cls.__name__: cls for cls in map(type, MODELS)})
    assert again.config == model.config
    lines = model.summary().splitlines()
    assert lines[0] == repr(model)
    trained = sum(parameter.numel() for parameter in model.parameters())
    assert lines[-1].split()[:3] == ["in", "all", f"{trained:,}"]
    assert all(any(line.startswith(f"{name} ") for line in lines) for name, _ in model.named_children())


def test_a_class_that_does_not_keep_its_arguments_has_torch_s_repr():
    class Mine(MixtureVAE):
        def __init__(self, size):
            super().__init__((size,), "normal")

    assert repr(Mine(3)).startswith("Mine(\n")
