"""MkDocs' hooks: the navigation of what is found, links to lines of code, and mathematics."""

from __future__ import annotations

import glob
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # MkDocs loads a hook as a file by itself

from docs_tools import mathml  # noqa: E402
from docs_tools.code_links import CodeLinks, page_name  # noqa: E402

links = CodeLinks(ROOT / "pyro_mixvae")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """An entry of the navigation may be a pattern: the files that there are."""
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def _expanded(entries: list[Any], folder: Path) -> list[Any]:
    result: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            result += [{title: _expanded(c, folder) if isinstance(c, list) else c} for title, c in entry.items()]
        elif "*" in entry:
            result += sorted(str(Path(path).relative_to(folder)) for path in glob.glob(str(folder / entry)))
        else:
            result.append(entry)
    return result


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Pages with the source of what other pages refer to."""
    found: set[str] = set()
    for file in files.documentation_pages():
        if file.src_uri.endswith(".md"):
            found |= links.files(file.content_string)
    for source in sorted(found):
        # what is missing is reported where the page that refers to it is read
        if (links.package / source).is_file():
            files.append(File.generated(config, page_name(source), content=links.page(source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    try:
        return links.linked(markdown, "../" * page.file.src_uri.count("/"))
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    # MkDocs does not see the anchors that the highlighter sets
    page.present_anchor_ids = (page.present_anchor_ids or set()) | set(re.findall(r'id="(__codelineno-[^"]+)"', html))
    convert = mathml.convert_notebook if page.file.src_uri.endswith(".ipynb") else mathml.convert_page
    try:
        return convert(html)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: {error}") from error
