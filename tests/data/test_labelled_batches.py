"""Batches with a share of labelled data: who is in them, how often, and the same for one process as for several."""

from __future__ import annotations

import pytest
import torch

from pyro_mixvae.data import LabelledBatches

X = torch.arange(40.0).unsqueeze(-1)
Y = torch.where(torch.arange(40) < 12, torch.arange(40) % 3, -1)


def test_each_batch_has_its_share_and_an_epoch_all_others() -> None:
    batches = LabelledBatches((X, Y), batch_size=10, labelled=4)
    seen = [y for _, y in batches]
    assert len(batches) == len(seen) == 5
    assert all((y[:4] >= 0).all() and (y[4:] == -1).all() for y in seen)
    without = torch.cat([x[4:] for x, _ in batches]).flatten().sort().values
    torch.testing.assert_close(without, X[12:].flatten())
    # 20 draws of 12 data: each once, then a part of a second round
    counts = torch.cat([x[:4] for x, _ in batches]).flatten().long().bincount(minlength=12)
    assert counts.sum() == 20 and counts.min() == 1 and counts.max() == 2


def test_labels_belong_to_their_data_and_epochs_differ() -> None:
    batches = LabelledBatches((X, Y), batch_size=10, labelled=4, seed=1)
    first = torch.cat([x for x, _ in batches])
    assert all(torch.equal(y, Y[x.flatten().long()]) for x, y in batches)
    assert torch.equal(first, torch.cat([x for x, _ in batches]))
    batches.set_epoch(1)
    assert not torch.equal(first, torch.cat([x for x, _ in batches]))


def test_balanced_classes() -> None:
    """Class 0 is rare; every batch has as many of each, the odd one in turn."""
    y = torch.where(torch.arange(40) < 20, torch.arange(40).clamp(max=5) // 2, -1)
    for labelled in (6, 7):
        batches = LabelledBatches((X, y), batch_size=labelled + 5, labelled=labelled, balanced=True)
        counts = torch.stack([labels[:labelled].bincount(minlength=3) for _, labels in batches])
        assert (counts.max(1).values - counts.min(1).values).max() <= labelled % 3
        assert (counts.sum(0).max() - counts.sum(0).min()) <= 1


def test_balanced_answers() -> None:
    """Batch t has as many yes as no to label t mod L; a label that all data answer alike is passed over."""
    y = torch.full((40, 3), -1)
    y[:16] = torch.stack([torch.arange(16) < 3, torch.arange(16) % 2 == 0, torch.zeros(16, dtype=bool)], 1).long()
    batches = LabelledBatches((X, y), batch_size=10, labelled=4, balanced=True)
    for number, (_, labels) in enumerate(batches):
        assert labels[:4, number % 2].sum() == 2
        assert (labels[4:] == -1).all()


def test_two_processes_share_what_one_would_see() -> None:
    joint = LabelledBatches((X, Y), batch_size=10, labelled=4, seed=2)
    parts = [LabelledBatches((X, Y), batch_size=5, labelled=2, seed=2, rank=rank, world_size=2) for rank in range(2)]
    for (whole, _), *pieces in zip(joint, *parts, strict=True):
        together = torch.cat([x for x, _ in pieces]).flatten().sort().values
        assert len(together) >= len(whole)
        assert set(whole.flatten().tolist()) <= set(together.tolist())
        assert all((y[:2] >= 0).all() and (y[2:] == -1).all() for _, y in pieces)


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (Y, {"labelled": 10}, r"labelled: got 10; allowed are 1..9 of batches of 10"),
        (Y.clamp(min=0), {"labelled": 4}, "there are no unlabelled data"),
        (torch.full((40,), -1), {"labelled": 4}, "there are no labelled data"),
        (None, {"labelled": 4}, "the data have no labels"),
        (Y.clamp(max=0).unsqueeze(-1), {"labelled": 4, "balanced": True}, "balanced: there is no label"),
    ],
)
def test_bad_input(y, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        LabelledBatches((X, y), batch_size=10, **options)
