"""Images on the way through a latent space: along its axes, and from one code to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from .images import Range, draw_montage, montage_size, to_unit
from .style import Values, dress, new_figure, number, titled, to_array


def latent_variants(
    images: Values,
    deltas: Sequence[float] = (-20.0, 0.0, 20.0),
    axes: Sequence[int] = (0, 1),
    *,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    r"""One datum decoded at :math:`\mu + \delta \sigma` along two latent axes, or several data side by side.

    Args:
        images: ``[D, D, C, H, W]`` or, for B data, ``[B, D, D, C, H, W]``; the first of the two D moves along the
            first axis.
        deltas: D numbers, how many standard deviations from the mean.
        axes: the numbers of the two axes.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure, a square of images for each datum.

    Raises:
        ValueError: for other shapes.

    Source:
        Rivera, *How to train your VAE*, figure 4.
    """
    array = to_array(images)
    squares = array[None] if array.ndim == 5 else array
    size = len(deltas)
    if squares.ndim != 6 or squares.shape[1:3] != (size, size) or len(axes) != 2:
        raise ValueError(
            f"images: got shape {array.shape} for {size} deltas and {len(axes)} axes; allowed are [D, D, C, H, W] and "
            "[B, D, D, C, H, W] for D deltas and two axes"
        )
    pixels = to_unit(squares, value_range)
    width, height = montage_size(pixels[0], label_inches=0.7)
    figure = new_figure(width * len(pixels), height + 0.5)
    words = [number(delta, "+g") if delta else "0" for delta in deltas]
    row = figure.subplots(1, len(pixels), squeeze=False)[0]
    for place, (panel, square) in enumerate(zip(row, pixels, strict=True)):
        draw_montage(panel, square, words if place == 0 else None, words)
        dress(panel, None, None, rf"axis {axes[0]} ($\delta\,\sigma$)" if place == 0 else None)
        panel.spines[:].set_visible(False)
        panel.tick_params(length=0)
        panel.set_xlabel(rf"axis {axes[1]} ($\delta\,\sigma$)")
        panel.xaxis.set_label_position("top")
    return titled(figure, title)


def latent_transitions(
    images: Values | Mapping[str, Values],
    row_labels: Sequence[str] | None = None,
    *,
    value_range: Range = (0.0, 1.0),
    title: str | None = None,
) -> Figure:
    """Decoded steps from one code to another, a row for each pair; of several models one row below the other.

    Args:
        images: ``[B, S, C, H, W]``, S steps for each of B pairs; or such images by model, whose rows then stand
            together pair by pair.
        row_labels: one word for each pair; only for a single model.
        value_range: the values that are drawn black and white.
        title: a heading.

    Returns:
        The figure.

    Raises:
        ValueError: for other shapes, models of different shapes, or another number of labels than rows.

    Source:
        Rivera, *How to train your VAE*, figure 5.
    """
    models = images if isinstance(images, Mapping) else {"": images}
    if not models:
        raise ValueError("images: got no models; at least one is needed")
    arrays = [to_unit(values, value_range) for values in models.values()]
    if arrays[0].ndim != 5 or any(array.shape != arrays[0].shape for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"images: got shapes {shapes}; allowed is [B, S, C, H, W], the same for all models")
    if isinstance(images, Mapping):
        if row_labels is not None:
            raise ValueError("row_labels: the rows of several models are named after these")
        row_labels = list(models)
    num_pairs, steps = arrays[0].shape[:2]
    label_inches = 0.25 + 0.08 * max(map(len, row_labels or [""]))
    width, height = montage_size(arrays[0][:1].repeat(len(arrays), axis=0), label_inches)
    figure = new_figure(width, height * num_pairs if len(arrays) > 1 else montage_size(arrays[0])[1])
    if len(arrays) == 1:
        draw_montage(figure.subplots(), arrays[0], row_labels, _fractions(steps))
        return titled(figure, title)
    # pictures keep their shape, and labels beside them would be cut off
    figure.set_layout_engine("compressed")
    for pair, panel in enumerate(figure.subplots(num_pairs, 1, squeeze=False)[:, 0]):
        rows = to_array([array[pair] for array in arrays])
        draw_montage(panel, rows, row_labels, _fractions(steps) if pair == 0 else None)
    return titled(figure, title)


def _fractions(steps: int) -> list[str]:
    return [f"{step / max(1, steps - 1):.2g}" for step in range(steps)]
