"""One evaluation of a network for guide and model together."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from pyro_mixvae.nn import Memo


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.weight * x


@pytest.fixture
def network():
    return Counted()


def test_guide_and_model_cost_one_call_and_the_next_model_another(network):
    memo, x = Memo(), torch.ones(3)
    first, second = memo.remember(network, x), memo.recall(network, x)
    assert second is first and network.calls == 1
    third = memo.recall(network, x)
    assert third is not first and network.calls == 2


def test_by_identity_of_the_input(network):
    memo, x = Memo(), torch.ones(3)
    memo.remember(network, x)
    memo.recall(network, x.clone())
    assert network.calls == 2
    memo.recall(network, x)
    assert network.calls == 3


def test_a_model_alone_remembers_nothing(network):
    """Its graph is freed by ``backward()`` between two calls."""
    memo, x = Memo(), torch.ones(3)
    for _ in range(2):
        memo.recall(network, x).sum().backward()
    assert network.calls == 2


@pytest.mark.parametrize(
    "between",
    [
        lambda network: torch.optim.SGD(network.parameters(), lr=1.0).step(),
        lambda network: network.load_state_dict({"weight": torch.tensor(5.0)}),
        lambda network: network.eval(),
        lambda network: torch.set_grad_enabled(False),
    ],
    ids=["optimiser", "load_state_dict", "eval", "no_grad"],
)
def test_forgets_when_something_changed_in_between(network, between):
    memo, x = Memo(), torch.ones(3)
    network.weight.grad = torch.tensor(1.0)
    memo.remember(network, x)
    try:
        between(network)
        torch.testing.assert_close(memo.recall(network, x), network.weight * x)
    finally:
        torch.set_grad_enabled(True)
    assert network.calls == 2


def test_what_is_made_of_the_output_is_remembered(network):
    memo, x = Memo(), torch.ones(3)

    def evaluate(x):
        return {"twice": 2 * network(x)}

    assert memo.remember(network, x, evaluate) is memo.recall(network, x, evaluate)
    assert network.calls == 1


def test_copies_start_empty(network):
    memo, x = Memo(), torch.ones(3)
    memo.remember(network, x)
    for other in (copy.deepcopy(memo), pickle.loads(pickle.dumps(memo))):
        other.recall(network, x)
    assert network.calls == 3
    memo.recall(network, x)
    assert network.calls == 3


def test_forgets_when_the_input_has_changed_in_place(network):
    memo, x = Memo(), torch.ones(3)
    memo.remember(network, x)
    x.mul_(2)
    torch.testing.assert_close(memo.recall(network, x), 2 * x)


def test_tensors_of_inference_mode(network):
    with torch.inference_mode():
        memo, x = Memo(), torch.ones(3)
        assert memo.remember(network, x) is memo.recall(network, x)
