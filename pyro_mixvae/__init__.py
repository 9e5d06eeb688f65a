"""Mixture-model variational autoencoders as ordinary Pyro model/guide pairs."""

from __future__ import annotations

from importlib.metadata import version

from pyro_mixvae.serialization import load, save

__version__ = version("pyro-mixvae")

__all__ = ["__version__", "load", "save"]
