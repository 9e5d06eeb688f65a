"""The 1,797 handwritten digits of 8x8 pixels that come with scikit-learn: real data without a network."""

from __future__ import annotations

import numpy as np
import torch

from .dataset import DataSet, Split


def load_digits(validation: int = 0) -> DataSet:
    """Scikit-learn's digits: 1,437 for training and 360 for testing, a fixed split stratified by class.

    Args:
        validation: how many of the training data, the last ones, are set aside to make choices on.

    Returns:
        Images ``(1, 8, 8)``, ``float32``, the 17 grey levels 0..16 divided by 16; ten classes.

    Raises:
        ValueError: unless some data are left for training.

    Source:
        Test set of the "Optical Recognition of Handwritten Digits" data, UCI repository (E. Alpaydin,
        C. Kaynak, 1998), as embedded in scikit-learn.

    >>> digits = load_digits()
    >>> len(digits.train), len(digits.test), digits.event_shape
    (1437, 360, (1, 8, 8))
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    if not 0 <= validation < 1437:
        raise ValueError(f"validation: got {validation}; allowed are 0..1436 of the 1437 training data")
    images, labels = datasets.load_digits(return_X_y=True)
    train, test = train_test_split(np.arange(len(labels)), test_size=360, stratify=labels, random_state=0)
    x = torch.from_numpy((images / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    y = torch.from_numpy(labels.astype(np.int64))
    train, held_out = train[: len(train) - validation], train[len(train) - validation :]
    return DataSet(
        name="digits",
        train=Split(x[train], y[train]),
        validation=Split(x[held_out], y[held_out]) if validation else None,
        test=Split(x[test], y[test]),
        num_classes=10,
        class_names=tuple("0123456789"),
        source="scikit-learn's 1,797 digits (UCI Optical Recognition of Handwritten Digits); "
        "fixed split of 1,437 / 360, stratified by class"
        + (f", {validation} of the former for validation" if validation else ""),
    )
