"""Draws the papers' graphical models: ``python -m docs_tools.graphical_models`` writes ``docs/figures/*.svg``.

Circles are random variables, shaded ones are data; a box is a plate, repeated as often as its corner says; double
circles are computed from what points at them. Left is the model p, right the guide q.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "figures"
RADIUS, UNIT, MARGIN = 22, 78, 46
INK, SHADE = "#262626", "#d5dcea"

Place = tuple[float, float]


@dataclass
class Panel:
    """One of the two graphs.

    Args:
        title: what stands above it.
        nodes: where each variable stands, in units from the top left.
        edges: pairs of variables.
        plates: what is in each box, by the text in its corner; inner boxes first.
        observed: the data.
        computed: variables without noise of their own.
    """

    title: str
    nodes: dict[str, Place]
    edges: list[tuple[str, str]]
    plates: dict[str, list[str]] = field(default_factory=dict)
    observed: tuple[str, ...] = ("x",)
    computed: tuple[str, ...] = ()

    def svg(self, left: float, top: float) -> list[str]:
        """The panel's elements with its own origin at this point."""
        at = {name: (left + x * UNIT, top + y * UNIT) for name, (x, y) in self.nodes.items()}
        parts = [f'<text x="{left - 30}" y="{top - 52}" class="title">{self.title}</text>']
        parts += [line for depth, item in enumerate(self.plates.items()) for line in self._plate(*item, at, depth)]
        parts += [_arrow(at[a], at[b]) for a, b in self.edges]
        for name, (x, y) in at.items():
            fill = SHADE if name in self.observed else "#fff"
            parts.append(f'<circle cx="{x}" cy="{y}" r="{RADIUS}" fill="{fill}"/>')
            if name in self.computed:
                parts.append(f'<circle cx="{x}" cy="{y}" r="{RADIUS - 4}" fill="none"/>')
            letter, _, index = name.partition("_")
            low = f'<tspan dy="4" font-size="11">{index}</tspan>' if index else ""
            parts.append(f'<text x="{x}" y="{y + 6}" class="name">{letter}{low}</text>')
        return parts

    def _plate(self, text: str, names: list[str], at: dict[str, Place], depth: int) -> list[str]:
        pad = RADIUS + 9 + 9 * depth
        xs, ys = zip(*(at[name] for name in names), strict=True)
        x, y = min(xs) - pad, min(ys) - pad
        width, height = max(xs) - min(xs) + 2 * pad, max(ys) - min(ys) + 2 * pad + 15
        return [
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="7" fill="none"/>',
            f'<text x="{x + width - 7}" y="{y + height - 6}" class="plate">{text}</text>',
        ]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height between the outermost variables."""
        return max(x for x, _ in self.nodes.values()) * UNIT, max(y for _, y in self.nodes.values()) * UNIT


def _arrow(start: Place, end: Place) -> str:
    (x0, y0), (x1, y1) = start, end
    length = math.hypot(x1 - x0, y1 - y0)
    a, b = RADIUS / length, (RADIUS + 6) / length
    points = x0 + a * (x1 - x0), y0 + a * (y1 - y0), x1 - b * (x1 - x0), y1 - b * (y1 - y0)
    return '<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" marker-end="url(#head)"/>'.format(*points)


def draw(description: str, model: Panel, guide: Panel) -> str:
    """Both panels side by side, as SVG."""
    (width, height), (other, other_height) = model.size, guide.size
    left, top, gap = MARGIN + 22, MARGIN + 44, 120
    total = left + width + gap + other + MARGIN + 22
    parts = [*model.svg(left, top), *guide.svg(left + width + gap, top)]
    total_height = top + max(height, other_height) + MARGIN + 26
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:g} {total_height:g}" width="{total:g}" '
            f'height="{total_height:g}" role="img">',
            f"<title>{description}</title>",
            f"<style>circle,rect,line{{stroke:{INK};stroke-width:1.4}} text{{fill:{INK};"
            "font-family:Georgia,'Times New Roman',serif} .name{font-size:18px;font-style:italic;text-anchor:middle}"
            ".plate{font-size:12px;text-anchor:end} .title{font-size:14px}</style>",
            '<defs><marker id="head" viewBox="0 0 10 10" refX="2" refY="5" markerWidth="8" markerHeight="8" '
            f'orient="auto"><path d="M0 1L9 5L0 9z" fill="{INK}"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#fff" style="stroke:none"/>',
            *parts,
            "</svg>\n",
        ]
    )


DRAWINGS = {
    "gmvae": (
        "GMVAE: style w and component c choose z, which makes x",
        Panel(
            "model p",
            {"w": (0, 0), "c": (1, 0), "z": (0.5, 1), "x": (0.5, 2)},
            [("w", "z"), ("c", "z"), ("z", "x")],
            {"N": ["w", "c", "z", "x"]},
        ),
        Panel(
            "guide q",
            {"w": (0, 0), "c": (1, 0), "z": (1, 1), "x": (0.5, 2)},
            [("x", "z"), ("x", "w"), ("z", "c"), ("w", "c")],
            {"N": ["w", "c", "z", "x"]},
        ),
    ),
    "csrae": (
        "CSRAE: z has a mixture as prior, and makes x",
        Panel("model p", {"c": (0, 0), "z": (0, 1), "x": (0, 2)}, [("c", "z"), ("z", "x")], {"N": ["c", "z", "x"]}),
        Panel("guide q", {"z": (0, 1), "x": (0, 2)}, [("x", "z")], {"N": ["z", "x"]}),
    ),
    "ss_csrae": (
        "Semi-supervised CSRAE: label y and code z make x",
        Panel("model p", {"y": (0, 0), "z": (1, 0), "x": (0.5, 1)}, [("y", "x"), ("z", "x")], {"N": ["y", "z", "x"]}),
        Panel(
            "guide q",
            {"y": (0, 0), "z": (1, 0), "x": (0.5, 1)},
            [("x", "y"), ("x", "z"), ("y", "z")],
            {"N": ["y", "z", "x"]},
        ),
    ),
    "factorial": (
        "Factorial mixture: each part of the code has a mixture of its own, with inferred parameters",
        Panel(
            "model p",
            {"π_i": (0, 0), "r_i": (0, 1.5), "z_i": (1.1, 1.5), "μα_ik": (1.1, 0), "x": (1.1, 2.6)},
            [("π_i", "r_i"), ("r_i", "z_i"), ("μα_ik", "z_i"), ("z_i", "x")],
            {"K": ["μα_ik"], "I": ["π_i", "r_i", "z_i", "μα_ik"], "N": ["r_i", "z_i", "x"]},
        ),
        Panel(
            "guide q",
            {"π_i": (0, 0), "r_i": (0, 1.5), "z_i": (1.1, 1.5), "μα_ik": (1.1, 0), "x": (1.1, 2.6)},
            [("x", "z_i"), ("z_i", "r_i")],
            {"K": ["μα_ik"], "I": ["π_i", "r_i", "z_i", "μα_ik"], "N": ["r_i", "z_i", "x"]},
        ),
    ),
    "mvae": (
        "MVAE: K codes, weighted by w and masked by m, make x together",
        Panel(
            "model p",
            {"w": (0, 0), "m_i": (1, 0), "z_i": (2, 0), "s": (1, 1.1), "x": (1, 2.1)},
            [("w", "s"), ("m_i", "s"), ("z_i", "s"), ("s", "x")],
            {"K": ["m_i", "z_i"], "N": ["w", "m_i", "z_i", "s", "x"]},
            computed=("s",),
        ),
        Panel(
            "guide q",
            {"w": (0, 0), "m_i": (1, 0), "z_i": (2, 0), "x": (1, 2.1)},
            [("x", "w"), ("x", "z_i")],
            {"K": ["m_i", "z_i"], "N": ["w", "m_i", "z_i", "x"]},
        ),
    ),
    "mpvae": (
        "MPVAE: a plain VAE; the mixture is that of its posteriors, and a discriminator judges x'",
        Panel(
            "model p",
            {"z": (0, 0), "x'": (0, 1), "x": (0, 2), "D": (1, 1)},
            [("z", "x'"), ("x'", "x"), ("x'", "D")],
            {"N": ["z", "x'", "x", "D"]},
            computed=("x'", "D"),
        ),
        Panel("guide q", {"z": (0, 0), "x": (0, 2)}, [("x", "z")], {"N": ["z", "x"]}),
    ),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, drawing in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(*drawing), encoding="utf-8")


if __name__ == "__main__":
    main()
