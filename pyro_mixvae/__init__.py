"""Mixture-model variational autoencoders as ordinary Pyro model/guide pairs."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("pyro-mixvae")

__all__ = ["__version__"]
