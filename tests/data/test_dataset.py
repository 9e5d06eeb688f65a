"""A data set made by hand."""

import torch

from pyro_mixvae.data import DataSet, Split


def test_classes_without_names_are_called_by_their_numbers():
    data = DataSet("mine", Split(torch.rand(4, 3), torch.tensor([0, 1, 2, 0])), num_classes=3)
    assert data.class_names == ("0", "1", "2")
    assert data.validation is None
