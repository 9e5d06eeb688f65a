"""Random generators that are pure functions of a few integers and leave the global ones alone."""

from __future__ import annotations

import numpy as np
import torch


def generator(*entropy: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream depends on all the integers given, for instance on (seed, epoch).

    The integers are hashed together (NumPy's ``SeedSequence``), so that (0, 1) and (1, 0), or neighbouring
    seeds, have unrelated streams.

    Args:
        entropy: integers, not negative.
        device: where the generator lives.

    Raises:
        ValueError: for a negative integer.

    >>> torch.equal(torch.rand(3, generator=generator(0, 1)), torch.rand(3, generator=generator(0, 1)))
    True
    >>> torch.equal(torch.rand(3, generator=generator(0, 1)), torch.rand(3, generator=generator(1, 0)))
    False
    """
    if any(number < 0 for number in entropy):
        raise ValueError(f"seed: got {entropy}; allowed are integers that are not negative")
    state = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0]))
