"""report.html: what was trained, what came of it, and the figures, in one file that needs nothing else."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "reconstructions": "Held-out data and their reconstructions",
    "components": "Samples, one row for each component with its mean probability over the data",
    "samples": "Samples: the decoder's mean at draws from the prior",
    "latent": "The latent space, coloured by component and by label",
    "objective": "The objective's terms over the training, in nats per datum",
    "density": "The model's density beside the data",
    "clusters": "Labels found in each cluster",
    "predictions": "Labels of the data that each class is predicted for",
    "views": "Held-out data, what each component makes of them by itself, and what all make of them together",
    "crossed": "One datum through each encoder (row) and each sub-decoder (column)",
    "interpolations": "Between two data, every sub-decoder with its own encoder's code",
    "interpolations_across": "Between two data, every sub-decoder with the next encoder's code",
    "latent_together": "All components' codes in one plane, coloured by component",
    "dependence": "dHSIC of every pair of components' codes",
    "selection": "Selected components and dropout rates over the training",
}

STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #666; --line: #ddd; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #eee; --soft: #aaa; --line: #444; --paper: #1b1b1b; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 62rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p.lead { color: var(--soft); margin: .3rem 0 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.facts td { text-align: left; white-space: normal; vertical-align: top; }
.facts td:first-child { white-space: nowrap; color: var(--soft); }
figure { margin: 1.5rem 0; } figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { overflow-x: auto; font-size: .85rem; padding: .8rem;
      background: color-mix(in srgb, var(--ink) 6%, var(--paper)); }
@media (max-width: 40rem) {
  body { padding: 1rem; } th, td { padding-right: .5rem; font-size: .9rem; }
  th:first-child, td:first-child { white-space: normal; }
  /* text in a figure that is shrunk to a phone's width cannot be read: it scrolls instead */
  figure { overflow-x: auto; } figure img { max-width: none; width: 38rem; } figcaption { position: sticky; left: 0; }
}
"""

DOTS_PER_INCH = 130


def png(figure: Figure) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH)
    return buffer.getvalue()


def render_report(
    title: str,
    description: str,
    table: Sequence[Sequence[str]],
    note: str,
    pictures: Mapping[str, bytes],
    config: Mapping[str, Any],
    facts: Mapping[str, str],
) -> str:
    """A self-contained page.

    Args:
        title: the recipe's name.
        description: one line.
        table: the results line by line, a header first.
        note: what is said below the table.
        pictures: PNG files by figure name.
        config: what the run can be repeated from.
        facts: short facts such as duration and versions.
    """
    header, *lines = table
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    rows = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines]
    images = [
        f'<figure><img alt="{html.escape(CAPTIONS.get(name, name))}" '
        f'src="data:image/png;base64,{base64.b64encode(content).decode()}">'
        f"<figcaption>{html.escape(CAPTIONS.get(name, name))}</figcaption></figure>"
        for name, content in pictures.items()
    ]
    fact_rows = [f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in facts.items()]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1><p class="lead">{html.escape(description)}</p>
<h2>Results</h2><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>
<p class="lead">{html.escape(note)}</p>
<h2>Pictures</h2>{"".join(images)}
<h2>How it was made</h2><table class="facts"><tbody>{"".join(fact_rows)}</tbody></table>
<pre>{html.escape(yaml.safe_dump(dict(config), sort_keys=False, width=100))}</pre>
</body></html>
"""
