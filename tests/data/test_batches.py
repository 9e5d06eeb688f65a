"""Batches: every datum once, the same for the same seed and epoch, and nothing else is touched."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from pyro_mixvae.data import Batches, Split, bernoulli_draw

N = 23


@pytest.fixture
def data() -> Split:
    return Split(torch.arange(N, dtype=torch.float32).unsqueeze(-1), torch.arange(N))


def seen(batches: Batches, epoch: int = 0) -> list[tuple[Tensor, ...]]:
    batches.set_epoch(epoch)
    return list(batches)


def same(first: list[tuple[Tensor, ...]], second: list[tuple[Tensor, ...]]) -> bool:
    pairs = [pair for one, two in zip(first, second, strict=True) for pair in zip(one, two, strict=True)]
    return all(torch.equal(*pair) for pair in pairs)


def test_each_datum_comes_once_with_its_own_label(data):
    batches = Batches(data, batch_size=5, seed=3)
    got = seen(batches)
    assert len(got) == len(batches) == 5
    assert [len(x) for x, _ in got] == [5, 5, 5, 5, 3]
    x, y = (torch.cat(parts) for parts in zip(*got, strict=True))
    assert torch.equal(x.squeeze(-1).long(), y)
    assert torch.equal(y.sort().values, torch.arange(N))
    assert not torch.equal(y, torch.arange(N))


def test_without_shuffle_the_order_is_the_data_s(data):
    assert torch.equal(torch.cat([y for _, y in Batches(data, 4, shuffle=False)]), torch.arange(N))


def test_a_run_resumed_at_epoch_3_sees_the_same_order_and_noise(data):
    grey = Split(torch.rand(N, 1, 4, 4), data.y)

    def made() -> Batches:
        return Batches(grey, 5, seed=11, transform=bernoulli_draw)

    through, resumed = made(), made()
    epochs = [seen(through, epoch) for epoch in range(5)]
    assert same(epochs[3], seen(resumed, 3))
    assert same(epochs[4], seen(resumed, 4))
    for one, two in pairwise(epochs):
        assert not same(one, two)
    assert set(torch.cat([x for x, _ in epochs[0]]).unique().tolist()) == {0.0, 1.0}


def test_an_abandoned_iteration_leaves_no_trace(data):
    batches = Batches(data, 5, seed=1)
    whole = seen(batches)
    next(iter(batches))
    assert same(whole, list(batches))


def test_the_global_random_state_is_neither_read_nor_moved(data):
    batches = Batches(Split(torch.rand(N, 3)), 5, transform=bernoulli_draw)
    before = torch.get_rng_state()
    first = list(batches)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert same(first, list(batches))


def test_seeds_are_unrelated(data):
    orders = [torch.cat([y for _, y in Batches(data, 5, seed=seed)]) for seed in range(20)]
    assert len({tuple(order.tolist()) for order in orders}) == 20
    assert not torch.equal(orders[1], torch.cat([y for _, y in seen(Batches(data, 5, seed=0), epoch=1)]))


@pytest.mark.parametrize(
    ("num_data", "drop_last"), [(23, False), (24, False), (17, False), (3, False), (1, False), (23, True), (24, True)]
)
def test_processes_together_see_what_one_with_the_joint_batch_sees(num_data, drop_last):
    x = torch.arange(num_data, dtype=torch.float32).unsqueeze(-1)
    alone = list(Batches(x, 8, seed=5, drop_last=drop_last))
    shares = [list(Batches(x, 2, seed=5, drop_last=drop_last, rank=rank, world_size=4)) for rank in range(4)]
    assert {len(share) for share in shares} == {len(alone)}
    for (whole,), *parts in zip(alone, *shares, strict=True):
        assert len({len(part) for (part,) in parts}) == 1
        joint = torch.cat([part for (part,) in parts])
        assert torch.equal(joint[: len(whole)], whole)
        assert len(joint) - len(whole) < 4


def test_processes_have_independent_noise():
    grey = torch.full((8, 50), 0.5)
    first, second = (
        next(iter(Batches(grey, 4, transform=bernoulli_draw, rank=rank, world_size=2)))[0] for rank in range(2)
    )
    assert not torch.equal(first, second)


def test_drop_last(data):
    batches = Batches(data, 5, drop_last=True)
    assert [len(x) for x, _ in batches] == [5] * len(batches) == [5] * 4


def test_bytes_become_floats_between_0_and_1():
    pixels = torch.tensor([[0, 51], [255, 102]], dtype=torch.uint8)
    (x,) = next(iter(Batches(pixels, 2, shuffle=False)))
    assert x.dtype == torch.float32
    torch.testing.assert_close(x, torch.tensor([[0.0, 0.2], [1.0, 0.4]]))
    (x,) = next(iter(Batches(pixels, 2, dtype=torch.float64)))
    assert x.dtype == torch.float64


def test_always_a_tuple(data):
    assert all(len(batch) == 1 for batch in Batches(data.x, 4))
    assert all(len(batch) == 1 for batch in Batches((data.x, None), 4))
    assert all(len(batch) == 2 and batch[1].dtype == torch.int64 for batch in Batches((data.x, data.y.int()), 4))


def test_batches_can_be_written_into_without_harm_to_the_data(data):
    for shuffle in (False, True):
        for x, _ in Batches(data, 5, shuffle=shuffle):
            x.zero_()
    assert data.x.sum() > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"batch_size": 5, "seed": -1}, "seed: got -1"),
        ({"batch_size": 5, "rank": 2, "world_size": 2}, "rank: got 2 with world_size 2"),
        ({"batch_size": 24, "drop_last": True}, "drop_last leaves none"),
    ],
)
def test_bad_arguments_are_named(data, arguments, words):
    with pytest.raises(ValueError, match=words):
        Batches(data, **arguments)


def test_bad_data_are_named(data):
    with pytest.raises(ValueError, match="data: got list"):
        Batches([1, 2], 2)
    with pytest.raises(ValueError, match="epoch: got -1"):
        Batches(data, 2).set_epoch(-1)
