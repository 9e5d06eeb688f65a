"""What a simple method reaches on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .clustering import clustering_scores
from .inputs import Values, to_array

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture


def kmeans_baseline(
    train: Values, test: Values, test_labels: Values, num_clusters: int, seed: int = 0, num_starts: int = 10
) -> dict[str, float]:
    """The scores of k-means on raw data, beside which a mixture model has to stand.

    The centres are found on the training data; a test datum belongs to the nearest centre, and the distance
    takes the part of the responsibility: the most confident datum of a cluster is the one nearest its centre.

    Args:
        train: training data, ``[N, ...]``, flattened.
        test: test data, ``[M, ...]``.
        test_labels: ``[M]``, -1 for a missing one.
        num_clusters: the number of centres.
        seed: names the starts.
        num_starts: how many starts the best is taken of.

    Returns:
        The same names as :func:`clustering_scores`.

    Raises:
        ValueError: if there are more clusters than training data, or the shapes do not fit.

    Source:
        Scikit-learn's ``KMeans``.
    """
    from sklearn.cluster import KMeans

    rows = _flat(train)
    if not 1 <= num_clusters <= len(rows):
        raise ValueError(f"num_clusters: got {num_clusters}; allowed are 1..{len(rows)}, the training data")
    found = KMeans(num_clusters, n_init=num_starts, random_state=seed).fit(rows)
    return clustering_scores(-found.transform(_flat(test)), test_labels)


def gaussian_mixture_baseline(
    train: Values,
    test: Values,
    num_components: int,
    test_labels: Values | None = None,
    seed: int = 0,
    num_starts: int = 3,
) -> dict[str, float]:
    """The held-out log-likelihood of a plain Gaussian mixture with full covariances, and its clustering scores.

    Args:
        train: training data, ``[N, ...]``, flattened.
        test: test data, ``[M, ...]``.
        num_components: K.
        test_labels: ``[M]``, -1 for a missing one; ``None``: no clustering scores.
        seed: names the starts.
        num_starts: how many starts the best is taken of.

    Returns:
        ``log_likelihood``, the mean over the test data in nats, and the names of :func:`clustering_scores`.

    Raises:
        ValueError: if there are more components than training data.

    Source:
        Scikit-learn's ``GaussianMixture``; the comparison is figure 2c of the GMVAE paper.
    """
    from sklearn.mixture import GaussianMixture

    rows = _flat(train)
    if not 1 <= num_components <= len(rows):
        raise ValueError(f"num_components: got {num_components}; allowed are 1..{len(rows)}, the training data")
    found = GaussianMixture(num_components, n_init=num_starts, random_state=seed).fit(rows)
    scores = {"log_likelihood": float(found.score(_flat(test)))}
    if test_labels is not None:
        scores |= clustering_scores(_log_odds(found, _flat(test)), test_labels)
    return scores


def _log_odds(found: GaussianMixture, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log odds of each component, [M, K]: sure data do not tie, as in ``predict_proba``, which rounds them to 1."""
    from scipy.special import logsumexp

    points = rows.astype(np.float64)
    joint = np.stack(
        [
            np.log(weight) + np.log(np.diag(root)).sum() - 0.5 * np.square((points - mean) @ root).sum(1)
            for weight, mean, root in zip(found.weights_, found.means_, found.precisions_cholesky_, strict=True)
        ],
        axis=1,
    )
    if joint.shape[1] == 1:
        return joint
    others = [logsumexp(np.delete(joint, k, axis=1), axis=1) for k in range(joint.shape[1])]
    return np.asarray(joint - np.stack(others, axis=1))


def _flat(values: Values) -> NDArray[np.float32]:
    array = to_array(values)
    rows = array.reshape(len(array), -1).astype(np.float32)
    return rows / np.float32(255) if array.dtype == np.uint8 else rows
