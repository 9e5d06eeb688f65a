"""Figures of merit: of clusterings, of latent codes, of reconstructions."""

from .baselines import gaussian_mixture_baseline, kmeans_baseline
from .classification import CLASSIFIERS, classification_accuracy, component_classification, inception_score
from .clustering import (
    ari,
    cluster_labels,
    clustering_accuracy,
    clustering_scores,
    confusion_matrix,
    nmi,
    used_clusters,
)
from .dead_units import dead_units
from .image_quality import ImageNetwork, image_quality, inception_network
from .labels import classification_error, multilabel_f1
from .modes import bimodal_axes
from .representation import active_units, knn_error, reconstruction_error
from .sharpness import gradient_magnitude, sharpness

__all__ = [
    "CLASSIFIERS",
    "ImageNetwork",
    "active_units",
    "ari",
    "bimodal_axes",
    "classification_accuracy",
    "classification_error",
    "cluster_labels",
    "clustering_accuracy",
    "clustering_scores",
    "component_classification",
    "confusion_matrix",
    "dead_units",
    "gaussian_mixture_baseline",
    "gradient_magnitude",
    "image_quality",
    "inception_network",
    "inception_score",
    "kmeans_baseline",
    "knn_error",
    "multilabel_f1",
    "nmi",
    "reconstruction_error",
    "sharpness",
    "used_clusters",
]
