"""Dropout of components: masks, weights, cost, thresholds, and when a component is off."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.models.mvae_dropout import ComponentDropout


def with_rates(kind: str, rates: list[float]) -> ComponentDropout:
    dropout = ComponentDropout(len(rates), kind, per_component=True, rate=0.5).double()
    with torch.no_grad():
        dropout.logit.copy_(torch.tensor(rates, dtype=torch.float64).logit())
    return dropout


@pytest.mark.parametrize(
    ("kind", "per_component", "rate"),
    [("gaussian", False, 0.01), ("gaussian", False, 0.5), ("gumbel", False, 0.9), ("gaussian", True, 0.95)],
)
def test_it_starts_at_the_rate_that_was_given(kind, per_component, rate):
    dropout = ComponentDropout(3, kind, per_component, rate).double()
    assert dropout.rates.shape == ((3,) if per_component else ())
    torch.testing.assert_close(dropout.rates, torch.full_like(dropout.rates, rate), rtol=1e-6, atol=0)
    torch.testing.assert_close(dropout.variance, dropout.rates / (1 - dropout.rates), rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", ["gaussian", "gumbel"])
def test_a_held_rate_is_kept_with_the_model_and_not_trained(kind):
    held, learned = (ComponentDropout(3, kind, rate=0.3, learned=learned) for learned in (False, True))
    assert not list(held.parameters()) and len(list(learned.parameters())) == 1
    assert held.state_dict().keys() == learned.state_dict().keys()
    assert held.metrics() == learned.metrics() and held.cost() == learned.cost()
    assert held.select([0, 2]).rates == held.rates


def test_one_gaussian_rate_stays_where_its_cost_is_defined():
    dropout = ComponentDropout(3, "gaussian", rate=0.5)
    with torch.no_grad():
        dropout.logit.fill_(100.0)
    assert dropout.rates <= 0.5 and dropout.variance <= 1
    assert dropout.cost().abs() < 1e-6


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("kind", ["gaussian", "gumbel"])
def test_selected_k_is_the_mean_count_of_masks_above_the_threshold(kind, rate):
    """200,000 counts of 4 masks each, 4.5 standard errors."""
    dropout = ComponentDropout(4, kind, rate=rate)
    masks = dropout.distribution().sample((200_000, 4))
    counts = (masks >= (0.8 if kind == "gaussian" else 0.1)).sum(1).double()
    assert abs(counts.mean() - dropout.selected()) < 4.5 * counts.std() / 200_000**0.5


def test_gaussian_masks_cannot_select_few_components():
    """SPEC's note: above 0.8 with probability 0.579 or more for every rate."""
    assert ComponentDropout(6, "gaussian", rate=0.5).selected() == pytest.approx(6 * 0.5793, abs=1e-3)
    assert ComponentDropout(6, "gaussian", rate=0.01).selected() > 5.8


def test_weights_are_the_quotient_of_kept_components():
    dropout = ComponentDropout(3, "gaussian", rate=0.3)
    w = torch.tensor([0.2, 0.3, 0.5])
    torch.testing.assert_close(dropout.weights(w), w)
    masks = torch.tensor([0.5, 2.0, -1.0])
    torch.testing.assert_close(dropout.weights(w, masks), torch.tensor([0.1, 0.6, 5e-7]) / 0.7, rtol=1e-5, atol=1e-9)


def test_weights_are_never_zero_by_zero():
    """All masks dropped, or all the weight on components that are off."""
    dropout = with_rates("gaussian", [0.99, 0.2, 0.3])
    tiny = torch.tensor([1.0, torch.finfo(torch.float32).tiny, 0.0], requires_grad=True)
    for masks in (None, torch.full((3,), -5.0), torch.zeros(3)):
        weights = dropout.weights(tiny, masks)
        assert weights[0] == 0 and weights.sum().item() == pytest.approx(1)
        weights[1].backward(retain_graph=True)
        assert tiny.grad.isfinite().all()


def test_a_component_is_off_above_its_rate_and_the_best_one_never():
    assert with_rates("gaussian", [0.2, 0.951, 0.949]).is_on.tolist() == [True, False, True]
    assert with_rates("gumbel", [0.99, 0.97, 0.98]).is_on.tolist() == [False, True, False]
    assert with_rates("gaussian", [0.2, 0.951, 0.949]).selected() == 2
    assert ComponentDropout(4).selected() == 4


def test_the_only_component_that_is_left_feels_no_mask():
    dropout = with_rates("gaussian", [0.99, 0.9, 0.99])
    masks = dropout.distribution().expand((3, 7)).sample().T
    torch.testing.assert_close(dropout.weights(torch.full((7, 3), 1 / 3), masks), torch.eye(3)[1].expand(7, 3).double())


def test_the_gumbel_cost_is_an_entropy_that_stays_finite():
    dropout = ComponentDropout(3, "gumbel", rate=0.3).double()
    p = torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(dropout.cost(), p * p.log() + (1 - p) * (1 - p).log())
    with torch.no_grad():
        dropout.logit.fill_(50.0)
    dropout.cost().backward()
    assert dropout.logit.grad.isfinite()


def test_metrics_by_name():
    assert ComponentDropout(2).metrics() == {}
    assert set(ComponentDropout(2, "gumbel").metrics()) == {"selected_components", "dropout_rate"}
    found = with_rates("gaussian", [0.2, 0.99]).metrics()
    assert found == pytest.approx({"selected_components": 1.0, "dropout_rate_0": 0.2, "dropout_rate_1": 0.99})


def test_select_keeps_rates():
    dropout = with_rates("gaussian", [0.1, 0.2, 0.3]).select([2, 0])
    torch.testing.assert_close(dropout.rates.detach(), torch.tensor([0.3, 0.1], dtype=torch.float64))
    assert ComponentDropout(3, "gumbel", rate=0.3).select([1]).num_components == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "binary"}, "dropout: expected one of none, gaussian, gumbel, got 'binary'"),
        ({"kind": "none", "per_component": True}, "per_component: .* need dropout"),
        ({"kind": "gaussian", "rate": 0.6}, r"dropout_rate: expected a rate in \(0, 0.5\] .* got 0.6"),
        ({"kind": "gaussian", "rate": 0.0}, r"dropout_rate: expected a rate in \(0, 0.5\]"),
        ({"kind": "gumbel", "rate": 1.0}, r"dropout_rate: expected a rate in \(0, 1\) .* got 1"),
        ({"kind": "gaussian", "rate": 0.96, "per_component": True}, r"dropout_rate: expected a rate in \(0, 0.95\]"),
        ({"learned": False}, "learn_dropout: expected True without dropout, .* got False"),
        (
            {"kind": "gumbel", "per_component": True, "learned": False},
            "learn_dropout: expected True with per_component, .* got False",
        ),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ComponentDropout(3, **arguments)


def test_without_dropout_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match="'none' has no masks"):
        ComponentDropout(3).distribution()
