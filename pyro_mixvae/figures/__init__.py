"""Figures: each function takes tensors or arrays and returns a ``matplotlib.figure.Figure``, no pyplot."""

from .components import component_samples, style_traversal
from .confusion import cluster_confusion
from .density import density_2d
from .history import accuracy_curves, objective_terms, prior_term
from .images import image_grid
from .latent import latent_scatter_panels, latent_space
from .reconstructions import reconstructions

__all__ = [
    "accuracy_curves",
    "cluster_confusion",
    "component_samples",
    "density_2d",
    "image_grid",
    "latent_scatter_panels",
    "latent_space",
    "objective_terms",
    "prior_term",
    "reconstructions",
    "style_traversal",
]
