"""A headless browser opens every page: it renders, mathematics included, and complains of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

#: Formulas that a reader would see as text: their size and those whose markup the browser does not know.
FORMULAS = """() => [...document.querySelectorAll('math')].map(math => {
    const box = math.getBoundingClientRect();
    const closed = math.closest('details:not([open])') !== null;
    return {text: math.textContent, width: box.width, height: box.height, closed,
            known: math instanceof MathMLElement && !math.querySelector('merror')};
})"""


def test_every_page_renders(browser: Any, address: str, site: Path) -> None:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    # going on to the next page aborts what the last one still asks for
    page.on(
        "requestfailed",
        lambda request: (
            None if request.failure == "net::ERR_ABORTED" else complaints.append(f"{request.url} {request.failure}")
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((address, "data:", "blob:"))
            else complaints.append(f"{request.url} was asked for")
        ),
    )
    formulas = 0
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html" or not (name := path.relative_to(site).as_posix()):
            continue
        page.goto(f"{address}/{name}", wait_until="load")
        text = page.inner_text("article" if page.query_selector("article") else "body")
        assert len(text) > 100, f"{name} is empty"
        for formula in page.evaluate(FORMULAS):
            assert formula["known"], (name, formula)
            assert formula["closed"] or (formula["width"] > 0 and formula["height"] > 0), (name, formula)
            formulas += 1
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)"), name
        assert complaints == [], name
    assert formulas > 300
    page.close()


def test_a_formula_is_set_as_mathematics(browser: Any, address: str) -> None:
    """A fraction stands above its line: its numerator higher up than its denominator."""
    page = browser.new_page()
    page.goto(f"{address}/reference/models.html", wait_until="load")
    tops = page.evaluate("[...document.querySelector('mfrac').children].map(part => part.getBoundingClientRect().top)")
    assert tops[0] < tops[1]
    page.close()


def test_search_finds_a_model(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/index.html", wait_until="load")
    page.click("[data-md-component=search-query]")
    page.keyboard.type("Cauchy-Schwarz")
    page.wait_for_selector(".md-search-result__item", timeout=30_000)
    page.close()


@pytest.mark.parametrize("width", [360, 1400])
def test_pages_fit_narrow_and_wide_screens(browser: Any, address: str, width: int) -> None:
    """No page is wider than the screen; tables and formulas scroll by themselves."""
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    for name in ("index", "which_model", "models/gmvae", "models/csrae", "reference/models"):
        page.goto(f"{address}/{name}.html", wait_until="load")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.close()
