"""Figures: each function takes tensors or arrays and returns a ``matplotlib.figure.Figure``, no pyplot."""

from .codes import code_histograms, posterior_spread
from .components import component_samples, style_traversal
from .confusion import cluster_confusion
from .density import density_2d
from .factors import bound_by_components, component_rows, factor_grid
from .fits import density_fits
from .history import accuracy_curves, objective_terms, prior_term
from .images import image_grid
from .latent import latent_scatter_panels, latent_space
from .mixtures import component_views, crossed_components, dependence_matrix, interpolations, selection_curves
from .reconstructions import reconstructions
from .trade_off import trade_off, weight_panels
from .traversals import latent_transitions, latent_variants

__all__ = [
    "accuracy_curves",
    "bound_by_components",
    "cluster_confusion",
    "code_histograms",
    "component_rows",
    "component_samples",
    "component_views",
    "crossed_components",
    "density_2d",
    "density_fits",
    "dependence_matrix",
    "factor_grid",
    "image_grid",
    "interpolations",
    "latent_scatter_panels",
    "latent_space",
    "latent_transitions",
    "latent_variants",
    "objective_terms",
    "posterior_spread",
    "prior_term",
    "reconstructions",
    "selection_curves",
    "style_traversal",
    "trade_off",
    "weight_panels",
]
