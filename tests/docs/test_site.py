"""The built site hangs together: links and anchors, nothing from elsewhere, all that is public is described."""

from __future__ import annotations

import importlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.browser

PARTS = (
    "data",
    "distributions",
    "divergences",
    "figures",
    "infer",
    "metrics",
    "models",
    "nn",
    "priors",
    "testing",
    "training",
)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """What a page refers to, what can be referred to in it, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and (link := given.get("href")):
            self.links.add(link)
        if (name := LOADED.get(tag)) and (source := given.get(name)):
            self.loaded.add(source)
        if tag == "link" and given.get("rel") in ("stylesheet", "preconnect", "icon", "preload"):
            self.loaded.add(given.get("href") or "")


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}


def internal(link: str) -> bool:
    return not urlsplit(link).scheme and not link.startswith("//")


def test_links_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for link in filter(internal, page.links | page.loaded):
            if path.name == "404.html":
                continue
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} (no such anchor)")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {source for page in pages.values() for source in page.loaded}
    assert {source for source in loaded if not internal(source) and not source.startswith("data:")} == set()
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8"), style


def test_all_that_is_public_is_described(pages: dict[Path, Page]) -> None:
    anchors = set().union(*(page.anchors for page in pages.values()))
    names = {
        f"pyro_mixvae.{part}.{name}"
        for part in PARTS
        for name in importlib.import_module(f"pyro_mixvae.{part}").__all__
    }
    assert names - anchors == set()


def test_notebooks_are_part_of_it(site: Path) -> None:
    notebooks = sorted((Path(__file__).parents[2] / "tutorials").glob("*.ipynb"))
    assert notebooks
    for notebook in notebooks:
        page = (site / "tutorials" / notebook.with_suffix(".html").name).read_text(encoding="utf-8")
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        pictures = sum("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
        assert page.count("data:image/png;base64") >= pictures


def test_no_markup_is_left_over(site: Path, pages: dict[Path, Page]) -> None:
    for path in pages:
        if "source" in path.relative_to(site).parts:
            continue
        text = re.sub(r"<pre.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for left in (":math:`", ".. math::", ":class:`", ":func:`", 'class="arithmatex"', "[[models/"):
            assert left not in text, (path.relative_to(site), left)
