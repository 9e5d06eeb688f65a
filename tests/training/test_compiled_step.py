"""What follows the optimiser's step is compiled too, and does the same."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.models import GMVAE, FactorialMixtureVAE
from pyro_mixvae.training.compiled_step import CompiledStep, after_step_of
from tests.models.every_model import MLP, PLAIN


def factorial():
    torch.manual_seed(0)
    return FactorialMixtureVAE((64,), 70, 3, 3, encoder=MLP, decoder=PLAIN, labelled=[0])


@pytest.mark.compile
def test_the_same_q_of_xi():
    """Also with labels and batch norm, whose statistics the second look at a batch leaves alone."""
    x, y = torch.rand(70, 64), torch.randint(-1, 3, (70,))
    eager, model = factorial(), factorial()
    after_step = after_step_of(model, compile=True)
    assert isinstance(after_step, CompiledStep)
    for number in range(6):
        rows = slice(0, 8) if number == 4 else slice(10 * number, 10 * number + 10)
        for run in (eager.after_step, after_step):
            run((x[rows], y[rows]), number)
    for q, expected in zip(model.natural_posteriors(), eager.natural_posteriors(), strict=True):
        torch.testing.assert_close(q.natural, expected.natural, rtol=1e-6, atol=1e-6)
        assert q.num_steps == 6
    for (name, value), expected in zip(model.named_buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6, msg=name)


def test_which_batches_it_is_compiled_for():
    calls = []
    step = CompiledStep(lambda batch, number: calls.append("eager"))
    step.compiled = lambda batch, number: calls.append("compiled")
    long, short = (torch.zeros(3, 2),), (torch.zeros(1, 2),)
    for batch in (short, long, long, short, long, (torch.zeros(3, 2), torch.zeros(3))):
        step(batch, 0)
    assert calls == ["eager", "eager", "compiled", "eager", "compiled", "eager"]


def test_only_where_the_model_says_so():
    class Own(GMVAE):
        def after_step(self, batch, step):
            pass

    model = Own((4,), latent_dim=2, num_components=2, style_dim=2)
    assert after_step_of(model, compile=True) == model.after_step
    assert after_step_of(factorial(), compile=False) is not None
    assert not isinstance(after_step_of(factorial(), compile=False), CompiledStep)
    assert after_step_of(GMVAE((4,), latent_dim=2, num_components=2, style_dim=2), compile=True) is None
