"""Every figure: it can be drawn from what the package gives, shows the right numbers, and touches nothing."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from pyro_mixvae import figures
from pyro_mixvae.figures import (
    accuracy_curves,
    cluster_confusion,
    component_samples,
    component_views,
    crossed_components,
    density_2d,
    dependence_matrix,
    image_grid,
    interpolations,
    latent_scatter_panels,
    latent_space,
    objective_terms,
    prior_term,
    reconstructions,
    selection_curves,
    style_traversal,
)

PLACES = torch.stack(torch.meshgrid(torch.linspace(-2, 2, 9), torch.linspace(-1, 1, 7), indexing="xy"), -1)
LABELS = torch.arange(60) % 4 - 1
VIEWS = torch.rand(3, 5, 1, 8, 8)
FIGURES = {
    "image_grid, grey": lambda: image_grid(torch.rand(7, 1, 8, 8), title="seven"),
    "image_grid, colour rows": lambda: image_grid(torch.rand(2, 3, 3, 8, 6), row_labels=("one", "two")),
    "image_grid, bytes": lambda: image_grid(torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)),
    "image_grid, large": lambda: image_grid(torch.rand(2, 3, 200, 200)),
    "reconstructions, images": lambda: reconstructions(torch.rand(40, 1, 8, 8), torch.rand(40, 1, 8, 8)),
    "reconstructions, one": lambda: reconstructions(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)),
    "reconstructions, plane": lambda: reconstructions(torch.rand(50, 2), torch.rand(50, 2), title="points"),
    "reconstructions, vectors": lambda: reconstructions(torch.rand(50, 7), torch.rand(50, 7)),
    "component_samples, images": lambda: component_samples(torch.rand(3, 5, 1, 8, 8), torch.tensor([0.7, 0.3, 0])),
    "component_samples, many": lambda: component_samples(torch.rand(35, 2, 3, 8, 8)),
    "component_samples, bytes": lambda: component_samples(torch.randint(9, (17, 2, 1, 8, 8), dtype=torch.uint8)),
    "component_samples, plane": lambda: component_samples(torch.rand(3, 50, 2)),
    "component_samples, line": lambda: component_samples(torch.rand(2, 50, 1)),
    "style_traversal": lambda: style_traversal(torch.rand(2, 5, 1, 8, 8), torch.linspace(-2, 2, 5)),
    "latent_space, both": lambda: latent_space(torch.randn(60, 5), LABELS, torch.rand(60, 30)),
    "latent_space, plain": lambda: latent_space(torch.randn(60, 2)),
    "latent_space, line": lambda: latent_space(torch.randn(60, 1), labels=LABELS, class_names=("a", "b", "c")),
    "latent_space, constant": lambda: latent_space(torch.zeros(60, 5), labels=LABELS),
    "latent_scatter_panels": lambda: latent_scatter_panels(
        {"before": torch.randn(60, 2), "after": torch.randn(60, 3)}, LABELS
    ),
    "objective_terms": lambda: objective_terms({"loss": [3.0, 2.0], "c_prior": [0.1, torch.nan]}, epochs=[5, 10]),
    "objective_terms, series": lambda: objective_terms(
        {f"term {n}": {"train": torch.rand(9) + 1, "validation": torch.rand(9) + 1} for n in range(5)},
        scale={"term 0": "log", "term 1": "symlog"},
        title="terms",
    ),
    "objective_terms, one epoch": lambda: objective_terms({"loss": [3.0]}),
    "prior_term": lambda: prior_term({"plain": -torch.rand(9), "floor": -torch.rand(9)}, {"floor": -0.5}),
    "prior_term, one": lambda: prior_term(torch.rand(9), 0.5),
    "accuracy_curves": lambda: accuracy_curves({"K = 10": torch.rand(9), "K = 30": torch.rand(4, 9)}),
    "component_views": lambda: component_views(VIEWS[0], VIEWS, VIEWS[1]),
    "component_views, without the mixture": lambda: component_views(VIEWS[0], VIEWS, max_images=2),
    "crossed_components": lambda: crossed_components(torch.rand(3, 3, 3, 8, 8), title="crossed"),
    "interpolations": lambda: interpolations(VIEWS, VIEWS[0], VIEWS[2]),
    "dependence_matrix": lambda: dependence_matrix(torch.rand(4, 4)),
    "dependence_matrix, one component": lambda: dependence_matrix(torch.rand(1, 1)),
    "dependence_matrix, three": lambda: dependence_matrix({f"beta = {b}": torch.rand(4, 4) for b in (1, 10, 1000)}),
    "dependence_matrix, two": lambda: dependence_matrix({"beta = 1": torch.rand(3, 3), "beta = 10": torch.zeros(3, 3)}),
    "selection_curves": lambda: selection_curves([6, 5, 3.5], [0.1, 0.2, 0.4], 6),
    "selection_curves, rates of their own": lambda: selection_curves(
        [2, 1], {"0": [0.1, 0.2], "1": [0.5, 0.97]}, 2, [5, 9]
    ),
    "cluster_confusion": lambda: cluster_confusion(torch.randint(9, (30, 10))),
    "cluster_confusion, one": lambda: cluster_confusion([[3]], ("a long name",)),
    "density_2d": lambda: density_2d(PLACES, {"one": -PLACES.square().sum(-1)}, torch.randn(50, 2)),
    "density_2d, minus infinity": lambda: density_2d(PLACES, {"one": PLACES.sum(-1).log().nan_to_num(-np.inf)}),
}


def drawn(figure: Figure) -> np.ndarray:
    """The figure's pixels, ``[H, W, 3]``."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def words(figure: Figure) -> list[str]:
    """All that is written in the figure."""
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_visible() and text.get_text()]


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_it_is_drawn_without_a_warning_and_without_a_trace(make):
    settings = dict(mpl.rcParams)
    figure = make()
    pixels = drawn(figure)
    assert isinstance(figure, Figure)
    assert (pixels < 250).any() and (pixels[[0, 1, -2, -1]] == 255).all()
    assert dict(mpl.rcParams) == settings


def test_every_public_figure_is_drawn_in_this_folder():
    calls = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in figures.__all__ if f"{name}(" not in calls] == []


def test_pyplot_is_never_imported():
    code = "import sys, pyro_mixvae.figures; raise SystemExit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_data_and_metrics_need_no_heavy_library_to_be_imported():
    code = (
        "import sys, pyro_mixvae.data, pyro_mixvae.metrics;"
        "raise SystemExit(any(n in sys.modules for n in ('matplotlib', 'sklearn', 'torchvision', 'lightning')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pixels_keep_their_values_and_places():
    images = torch.zeros(2, 1, 4, 4)
    images[0, 0, 0, 3], images[1] = 0.5, 1.0
    picture = image_grid(images, num_columns=2).axes[0].images[0].get_array()
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[0, 4 * 14 - 1].tolist() == [0.5, 0.5, 0.5]
    assert picture[0, 4 * 14 + 1].tolist() == [1, 1, 1]  # the gap
    assert picture.shape == (4 * 14, 2 * 4 * 14 + 4, 3)


def test_value_range_and_bytes():
    scaled = image_grid(torch.full((1, 1, 4, 4), -0.5), value_range=(-1, 1)).axes[0].images[0].get_array()
    assert np.allclose(scaled, 0.25)
    grey = torch.full((1, 1, 4, 4), 51, dtype=torch.uint8)
    for figure in (image_grid(grey), image_grid(grey.unsqueeze(0)), component_samples(grey.unsqueeze(0))):
        assert np.allclose(figure.axes[0].images[0].get_array(), 0.2)
    both = reconstructions(grey, grey, value_range=(-1, 1)).axes[0].images[0].get_array()
    assert np.allclose(both[[0, -1], 0], 0.2)


def test_components_carry_their_numbers_and_usage():
    texts = words(component_samples(torch.rand(20, 2, 1, 8, 8), usage=torch.linspace(0, 0.5, 20)))
    assert {"0  (0%)", "1  (2.6%)", "19  (50%)"} <= set(texts)


def test_confusion_shows_counts_in_the_order_of_the_classes():
    figure = cluster_confusion([[0, 7], [0, 0], [5, 1]], ("cat", "dog"))
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["2", "0", "1"]
    assert {"7", "5", "1"} <= set(words(figure))
    assert np.allclose(axes.images[0].get_array(), [[5 / 6, 1 / 6], [0, 1], [0, 0]])


def test_curves_go_through_the_values():
    figure = objective_terms({"loss": [3.0, 2.0, 1.0]}, epochs=[2, 4, 6])
    assert np.array_equal(figure.axes[0].lines[0].get_xydata(), [[2, 3], [4, 2], [6, 1]])
    curve = accuracy_curves({"runs": [[0.2, 0.4], [0.4, 0.8]]}).axes[0].lines[0]
    assert np.allclose(curve.get_xydata(), [[1, 0.3], [2, 0.6]])


def test_names_of_groups_do_not_cover_each_other():
    codes = torch.randn(3000, 2)
    axes = latent_space(codes, components=torch.arange(3000) % 30).axes[0]
    places = np.array([text.get_position() for text in axes.texts])
    assert len(places) == 30
    apart = np.linalg.norm((places[:, None] - places) / np.ptp(codes.numpy(), axis=0), axis=-1)
    assert apart[~np.eye(30, dtype=bool)].min() > 0.04


def test_colours_and_marks_of_thirty_clusters_are_all_different():
    from pyro_mixvae.figures.style import colour, marker

    assert len({(colour(k), marker(k)) for k in range(56)}) == 56


def test_many_points_are_thinned():
    axes = latent_space(torch.randn(20_000, 2), max_points=500).axes[0]
    assert len(axes.collections[0].get_offsets()) == 500


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image_grid(torch.rand(3, 2, 8, 8)), r"images: got shape .* C = 1 or 3"),
        (lambda: image_grid(torch.rand(8, 8)), r"images: got shape \(8, 8\)"),
        (lambda: image_grid(torch.rand(2, 3, 1, 8, 8), row_labels=["a"]), "row_labels: got 1 for 2"),
        (lambda: image_grid(torch.rand(2, 1, 8, 8), value_range=(1, 0)), r"value_range: got \(1, 0\)"),
        (lambda: reconstructions(torch.rand(3, 2), torch.rand(3, 3)), r"x_hat: got shape \(3, 3\)"),
        (lambda: component_samples(torch.rand(3, 2)), r"samples: got shape \(3, 2\)"),
        (lambda: component_samples(torch.rand(3, 2, 2), [0.5]), r"usage: got shape \(1,\) for 3 components"),
        (lambda: style_traversal(torch.rand(3, 2, 2)), r"images: got shape \(3, 2, 2\)"),
        (lambda: style_traversal(torch.rand(1, 3, 1, 8, 8), [0, 1]), "column_labels: got 2 for 3"),
        (lambda: latent_space(torch.full((3, 2), torch.nan)), "z: got shape .* finite"),
        (lambda: latent_space(torch.rand(3, 2), labels=[0, 1]), r"labels: got shape \(2,\)"),
        (lambda: latent_scatter_panels({}), "panels: got none"),
        (lambda: objective_terms({}), "history: got no terms"),
        (lambda: objective_terms({"a": [1.0]}, epochs=[1, 2]), r"epochs: got shape \(2,\), but 'a' has 1 values"),
        (lambda: objective_terms({"a": [1.0]}, scale="cubic"), "scale: got 'cubic' for 'a'"),
        (lambda: objective_terms({"a": [-1.0]}, scale="log"), "scale: 'log' for 'a'"),
        (lambda: component_views(VIEWS[0], VIEWS[:, :2]), r"x: got shapes \[\(5, 1, 8, 8\)\]"),
        (lambda: component_views(VIEWS[0], VIEWS[0]), r"by_component: got shape \(5, 1, 8, 8\)"),
        (lambda: crossed_components(VIEWS), r"images: got shape .* as many encoders as sub-decoders"),
        (lambda: interpolations(VIEWS, VIEWS[0], VIEWS[0, :2]), "first, second: got shapes"),
        (lambda: dependence_matrix(torch.rand(2, 3)), r"matrices: got shapes \[\(2, 3\)\]"),
        (lambda: selection_curves([1.0], [1.0, 2.0], 2, [1]), "epochs: got shape"),
        (lambda: selection_curves(torch.rand(2, 2), [1.0], 2), "rates: 'selected' has shape"),
        (lambda: prior_term({}), "history: got no panels"),
        (lambda: accuracy_curves({}), "curves: got none"),
        (lambda: accuracy_curves({"a": torch.rand(1, 2, 3)}), r"curves: 'a' has shape \(1, 2, 3\)"),
        (lambda: cluster_confusion([[1, -1]]), "matrix: got shape"),
        (lambda: cluster_confusion([[1, 1]], ["a"]), "class_names: got 1 for 2 classes"),
        (lambda: density_2d(PLACES, {}), "log_densities: at least one"),
        (lambda: density_2d(PLACES[0], {"a": PLACES[0]}), "grid: got shape"),
        (lambda: density_2d(PLACES, {"a": PLACES}), "log_densities: 'a' has shape"),
        (lambda: density_2d(PLACES, {"a": PLACES.sum(-1)}, torch.rand(3, 1)), r"points: got shape \(3, 1\)"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_figures_of_real_digits_can_be_looked_at(tmp_path: Path):
    """Draws the whole set from k-means on real digits; ``-s`` prints where the pictures lie."""
    from sklearn.cluster import KMeans

    from pyro_mixvae.data import load
    from pyro_mixvae.metrics import confusion_matrix

    data = load("digits")
    found = KMeans(10, n_init=2, random_state=0).fit(data.train.x.flatten(1))
    test = data.test.x.flatten(1)
    clusters = torch.from_numpy(found.predict(test)).long()
    centres = torch.from_numpy(found.cluster_centers_).float().view(-1, 1, 8, 8)
    rows = torch.stack([data.test.x[clusters == k][:5] for k in range(10)])
    pictures = {
        "reconstructions": reconstructions(data.test.x, centres[clusters]),
        "components": component_samples(rows, clusters.bincount(minlength=10) / len(clusters)),
        "latent": latent_space(test, data.test.y, clusters),
        "confusion": cluster_confusion(confusion_matrix(clusters, data.test.y)),
    }
    for name, figure in pictures.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    print(tmp_path)


def test_the_middle_of_a_path_of_styles_is_called_zero() -> None:
    (axes,) = style_traversal(torch.rand(1, 11, 1, 8, 8), torch.linspace(-2, 2, 11)).axes
    assert axes.get_xticklabels()[5].get_text() == "0"
