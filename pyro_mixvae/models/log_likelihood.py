"""Importance-sampled log-likelihoods, with what they may be off by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class LogLikelihood(NamedTuple):
    """An estimate of log p(x) for each datum, and its standard error.

    Attributes:
        value: [B], in nats; a lower bound in expectation, by about half the squared error.
        error: [B], the standard error by the delta method: that of the mean weight over the mean weight. It is only
            as good as the weights: where few of many draws carry them, it is too small. Infinite for a single draw.
    """

    value: Tensor
    error: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean over the data, 0-d."""
        return self.value.mean()

    @property
    def mean_error(self) -> Tensor:
        """Its standard error, 0-d: of the sampling, given these data."""
        return self.error.square().sum().sqrt() / len(self.error)


def importance_sampled(log_weights: Callable[[int], Tensor], num_samples: int, chunk: int) -> LogLikelihood:
    r"""log of the mean weight, and its standard error, without holding all weights at once.

    .. math::
        \hat\ell = \log \bar w, \qquad
        \mathrm{se}(\hat\ell)^2 = \frac{1}{S - 1} \Big( \frac{\overline{w^2}}{\bar w^2} - 1 \Big)

    Args:
        log_weights: takes a number S', draws that many anew and returns their log weights, [S', B].
        num_samples: S.
        chunk: the largest S' it is asked for.
    """
    log_sum = log_sum_of_squares = torch.tensor(-math.inf)
    for start in range(0, num_samples, chunk):
        weights = log_weights(min(chunk, num_samples - start))
        log_sum = torch.logaddexp(log_sum.to(weights), weights.logsumexp(0))
        log_sum_of_squares = torch.logaddexp(log_sum_of_squares.to(weights), (2 * weights).logsumexp(0))
    ratio = num_samples * torch.exp(log_sum_of_squares - 2 * log_sum)
    error = ((ratio - 1).clamp(min=0) / (num_samples - 1)).sqrt() if num_samples > 1 else ratio * math.inf
    return LogLikelihood(log_sum - math.log(num_samples), error)
