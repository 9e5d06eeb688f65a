"""Docstrings become Markdown, TeX becomes MathML, marks become links to lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs_tools.code_links import CodeLinks
from docs_tools.graphical_models import DRAWINGS, FOLDER, draw
from docs_tools.rst import to_markdown

ROOT = Path(__file__).parents[2]
M = "{http://www.w3.org/1998/Math/MathML}"


def test_roles_and_directives():
    text = "\n".join(
        [
            r"The :class:`~a.B` of :math:`x_1",
            r"+ 1` and :func:`f`.",
            "",
            ".. math::",
            "",
            r"    a &= b \\",
            r"    c &= d",
            "",
            "Source: a book.",
        ]
    )
    converted = to_markdown(text, {"a.B": "a.B"}.get)
    assert r"The [`B`][a.B] of \(x_1 + 1\) and `f`." in converted
    assert r"\[ \begin{aligned} a &= b \\ c &= d \end{aligned} \]" in converted
    assert converted.endswith("**Source:** a book.")


def test_fields_tables_and_examples():
    fields = ":param x: the data,\n    [B].\n:return: a number."
    table = "===  ===\na    b\n===  ===\n1    2\n===  ==="
    text = f"One line.\n\n{fields}\n\n>>> 1\n1\n\n{table}"
    converted = to_markdown(text, lambda name: None)
    assert "Args:\n    x: the data, [B]." in converted
    assert "Returns:\n    a number." in converted
    assert "```pycon\n>>> 1\n1\n```" in converted
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in converted


def test_a_fraction_is_a_fraction():
    mathml = pytest.importorskip("docs_tools.mathml", reason="latex2mathml is missing: pip install -e '.[docs]'")
    tree = ElementTree.fromstring(mathml.to_mathml(r"\frac{a}{b}", block=False))
    fraction = tree.find(f".//{M}mfrac")
    assert ["".join(part.itertext()) for part in fraction] == ["a", "b"]
    with pytest.raises(ValueError, match="nonsense"):
        mathml.to_mathml(r"\nonsense{a}", block=False)


def test_dollars_of_a_notebook():
    mathml = pytest.importorskip("docs_tools.mathml", reason="latex2mathml is missing: pip install -e '.[docs]'")
    page = "<p>It is $x_1$, and <code>$HOME</code>.</p><p>$$y$$</p><pre>a $b$ c</pre>"
    page += '<div class="clipboard-copy-txt" id="cell-1">plot("$d$")</div>'
    converted = mathml.convert_notebook(page)
    assert converted.count("<math") == 2
    assert "<code>$HOME</code>" in converted
    assert "<pre>a $b$ c</pre>" in converted
    assert 'plot("$d$")' in converted


def test_every_formula_of_the_package_can_be_converted():
    mathml = pytest.importorskip("docs_tools.mathml", reason="latex2mathml is missing: pip install -e '.[docs]'")
    found = 0
    for file in sorted((ROOT / "pyro_mixvae").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                for inline, block in re.findall(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", to_markdown(text, lambda name: None)):
                    mathml.to_mathml(inline or block, bool(block))
                    found += 1
    assert found > 150


def test_marks_become_links(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ndef f(): ...\n")
    links = CodeLinks(tmp_path)
    assert links.linked("see [[a.py: def f]]", "../") == "see [`a.py:2`](../source/a.md#__codelineno-0-2)"
    with pytest.raises(ValueError, match="no line"):
        links.linked("[[a.py: def g]]", "")


def test_every_mark_of_the_pages_is_found():
    links = CodeLinks(ROOT / "pyro_mixvae")
    for page in (ROOT / "docs" / "models").glob("*.md"):
        links.linked(page.read_text(encoding="utf-8"), "")


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_those_of_the_script(name):
    drawn = draw(*DRAWINGS[name])
    assert (FOLDER / f"{name}.svg").read_text(encoding="utf-8") == drawn
    ElementTree.fromstring(drawn)
