"""The package's docstrings, which use Sphinx's roles and directives, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

ROLE = re.compile(r":(?:class|func|meth|attr|mod|data|exc|obj):`(~?)([^`]+)`")
MATH_ROLE = re.compile(r":math:`([^`]+)`")
DIRECTIVE = re.compile(r"^( *)\.\. math::(.*)$")
LITERAL = re.compile(r"^( *)(\S.*)::$")
RULE = re.compile(r"^ *=+(?: +=+)+ *$")
LABEL = re.compile(r"^( *)(Source|Sites): ", re.MULTILINE)
#: griffe knows this section in the plural only
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)
FIELD = re.compile(r"^:(param|type|returns?|raises?|ivar)(?: +([\w\\*, ]+))?: *(.*)$")
SECTIONS = {"param": "Args", "return": "Returns", "returns": "Returns", "raise": "Raises", "raises": "Raises"}


def to_markdown(text: str, link: Callable[[str], str | None]) -> str:
    """A docstring with mathematics as ``\\(...\\)`` and ``\\[...\\]``, and references as Markdown links.

    Args:
        text: the docstring.
        link: from the name in a role to the identifier of what it names, or None where that has no page.
    """
    text = MATH_ROLE.sub(lambda found: rf"\({' '.join(found[1].split())}\)", text)
    text = ROLE.sub(lambda found: _reference(found[2], bool(found[1]), link), text)
    text = EXAMPLE.sub(r"\1Examples:", text)
    text = LABEL.sub(r"\1**\2:** ", text)
    return "\n".join(_blocks(text.split("\n")))


def _reference(name: str, short: bool, link: Callable[[str], str | None]) -> str:
    name = " ".join(name.split())
    shown, target = name.rpartition(".")[2] if short else name, link(name)
    return f"`{shown}`" if target is None else f"[`{shown}`][{target}]"


def _blocks(lines: list[str]) -> Iterator[str]:
    position, previous = 0, None
    while position < len(lines):
        line = lines[position]
        position += 1
        if found := DIRECTIVE.match(line):
            indent = found[1]
            body, position = _indented(lines, position, len(indent))
            yield from ("", f"{indent}\\[ {_aligned([found[2], *body])} \\]", "")
        elif RULE.match(line):
            table, position = _until_third_rule(lines, position)
            yield from _table(line, table)
        elif (found := LITERAL.match(line)) and ">>>" not in line:
            indent = found[1]
            body, position = _indented(lines, position, len(indent))
            yield from (f"{indent}{found[2]}:", "", f"{indent}```python")
            yield from (indent + text for text in _dedented(body))
            yield from (f"{indent}```", "")
        elif line.startswith(">>>"):
            end = next((at for at in range(position, len(lines)) if not lines[at].strip()), len(lines))
            yield from ("", "```pycon", line, *lines[position:end], "```", "")
            position = end
        elif found := FIELD.match(line):
            body, position = _indented(lines, position, 0)
            section = SECTIONS[found[1]]
            if section != previous:
                yield from ("", f"{section}:")
            previous = section
            name = f"{found[2]}: " if found[2] else ""
            yield f"    {name}{' '.join([found[3], *(text.strip() for text in body)])}"
        else:
            previous = None
            yield line


def _indented(lines: list[str], start: int, indent: int) -> tuple[list[str], int]:
    """The lines of a directive's body, which stand further right than it."""
    end = start
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
        end += 1
    body = lines[start:end]
    while body and not body[-1].strip():
        body.pop()
    return body, start + len(body)


def _dedented(body: list[str]) -> list[str]:
    filled = [line for line in body if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in filled), default=0)
    while body and not body[0].strip():
        body = body[1:]
    return [line[margin:] for line in body]


def _aligned(lines: list[str]) -> str:
    formula = " ".join(" ".join(lines).split())
    return rf"\begin{{aligned}} {formula} \end{{aligned}}" if "&" in formula or r"\\" in formula else formula


def _until_third_rule(lines: list[str], start: int) -> tuple[list[str], int]:
    rules = 1
    for end in range(start, len(lines)):
        rules += bool(RULE.match(lines[end]))
        if rules == 3:
            return lines[start:end], end + 1
    raise ValueError(f"a table without its end, after {lines[start - 1]!r}")


def _table(rule: str, lines: list[str]) -> Iterator[str]:
    columns = [found.start() for found in re.finditer("=+", rule)]
    indent = " " * columns[0]
    header, _, *rows = (
        [line[a:b].strip() for a, b in zip(columns, [*columns[1:], None], strict=True)] for line in lines
    )
    yield ""
    for cells in (header, ["---"] * len(columns), *rows):
        yield f"{indent}| {' | '.join(cells)} |"
    yield ""
