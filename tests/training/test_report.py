"""report.html: one file that needs nothing else."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess

import pytest
from matplotlib.figure import Figure

from pyro_mixvae.training.report import png, render_report

VOID = {"meta", "img", "br", "link", "hr"}


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects what a page refers to and says."""

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.words, self.images = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.references += [values[name] for name in ("src", "href", "srcset", "action") if name in values]
        if tag == "img":
            self.images.append(values)
        assert tag not in ("script", "iframe", "link", "object")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


@pytest.fixture
def page_text():
    return render_report(
        "a <b>name</b> & more",
        "one line",
        [["", "GMVAE", "k-means"], ["loss", "12.34", ""], ["NMI", "0.500", "0.600"]],
        "In nats.",
        {"latent": png(Figure(figsize=(9, 4))), "own": png(Figure(figsize=(2, 2)))},
        {"model": {"class": "GMVAE", "note": "</pre><script>alert(1)</script>"}, "seed": 3},
        {"time": "training 3.0 s", "versions": "torch 2.11, " * 30},
    )


def test_self_contained(page_text):
    page = Page(page_text)
    assert page_text.startswith("<!doctype html>")
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", page_text.replace("data:image/png", ""))


def test_holds_what_it_was_given(page_text):
    words = Page(page_text).words
    for word in ("12.34", "k-means", "0.600", "In nats.", "training 3.0 s", "one line"):
        assert word in words
    assert any("seed: 3" in word for word in words)
    assert any("a <b>name</b> & more" in word for word in words)
    assert [image["alt"] for image in Page(page_text).images] == [
        "The latent space, coloured by component and by label",
        "own",
    ]


def test_nothing_in_it_is_run(page_text):
    assert "<script" not in page_text


@pytest.mark.browser
@pytest.mark.parametrize("width", [500, 1400])
def test_does_not_scroll_sideways(page_text, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no headless browser here")
    path = tmp_path / "report.html"
    measured = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    path.write_text(page_text.replace("</body>", measured))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]
    result = subprocess.run(
        [browser, *options, f"--window-size={width},800", path.as_uri()], capture_output=True, text=True, timeout=60
    )
    page, window = map(int, re.search(r"<title>(\d+) of (\d+)</title>", result.stdout).groups())
    assert page <= window
