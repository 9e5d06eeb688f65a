"""Mathematics as MathML, made when the site is built: pages need neither a script nor a web font for it."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

ARITHMATEX = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\s*(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])\s*</(?P=tag)>',
    re.DOTALL,
)
#: What is no prose in a notebook's page.
VERBATIM = re.compile(
    r'(<(?P<tag>pre|code|script|style|svg|textarea)\b.*?</(?P=tag)>|<div class="clipboard-copy-txt".*?</div>|<[^>]+>)',
    re.DOTALL,
)
DOLLARS = re.compile(r"\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$]*?[^\s\\$])?)\$(?!\d)", re.DOTALL)

SYMBOL, WIDE = re.compile("<m[ino]>"), 20
#: After an operator's name TeX leaves a thin space, unless a bracket follows.
OPERATOR = re.compile(r"(\\(?:log|exp|min|max|ln|arg|det))\s*(?=[A-Za-z]|\\(?!left|[bB]ig|[,!;:]))")
#: Spellings that the converter does not know, as ones that it does.
SPELLINGS = {r"\tfrac": r"\frac", r"\dfrac": r"\frac", r"\lVert": r"\|", r"\rVert": r"\|", r"\coloneqq": ":="}


def to_mathml(tex: str, block: bool) -> str:
    """A formula as MathML.

    Raises:
        ValueError: for TeX that cannot be converted, or of which a command would be left as it is.
    """
    formula = " ".join(html.unescape(tex).split())
    for spelling, known in SPELLINGS.items():
        formula = re.sub(re.escape(spelling) + r"(?![A-Za-z])", lambda _, known=known: known, formula)
    formula = OPERATOR.sub(r"\1\\,", formula)
    try:
        result = convert(formula, display="block" if block else "inline")
    except Exception as error:
        raise ValueError(f"cannot convert {formula!r}: {type(error).__name__} {error}") from error
    if left := re.search(r"\\[A-Za-z]+", result):
        raise ValueError(f"cannot convert {formula!r}: {left[0]} is not known")
    if block:
        return f'<div class="formula">{result}</div>'
    # a browser does not break lines in it
    return f'<span class="wide-formula">{result}</span>' if len(SYMBOL.findall(result)) > WIDE else result


def convert_page(page: str) -> str:
    """A page's HTML with MathML for what the Markdown extension ``arithmatex`` has marked."""
    return ARITHMATEX.sub(_converted, page)


def convert_notebook(page: str) -> str:
    """A notebook's HTML with MathML for what stands between dollars in its prose."""
    parts = VERBATIM.split(page)
    # each separator comes with its inner group
    prose, between = parts[0::3], parts[1::3]
    # tags may stand within a formula only as entities, so that each stretch of text can be looked at by itself
    converted = [DOLLARS.sub(_converted, text) for text in prose]
    return converted[0] + "".join(tag + text for tag, text in zip(between, converted[1:], strict=True))


def _converted(found: re.Match[str]) -> str:
    block = found["block"] is not None
    return to_mathml(found["block"] if block else found["inline"], block)
