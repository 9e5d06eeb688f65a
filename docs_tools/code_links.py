"""Links from the documentation to lines of the package, on pages that show its source."""

from __future__ import annotations

import re
from pathlib import Path

#: ``[[models/gmvae.py: def objective]]``: the first line of the file that holds the text.
MARK = re.compile(r"\[\[(?P<file>[\w/]+\.py): (?P<text>[^\]]+)\]\]")


class CodeLinks:
    """Finds the lines that pages refer to, and remembers whose source has to be shown.

    Args:
        package: the package's folder.
    """

    def __init__(self, package: Path) -> None:
        self.package = package

    def files(self, markdown: str) -> set[str]:
        """The files of the package that a page refers to."""
        return {found["file"] for found in MARK.finditer(markdown)}

    def linked(self, markdown: str, root: str) -> str:
        """The page with links in place of marks.

        Args:
            markdown: the page.
            root: way from the page to the site's root: ``"../"`` for a page one folder below it.

        Raises:
            ValueError: for a file or a line that there is not.
        """
        return MARK.sub(lambda found: self._link(found["file"], found["text"], root), markdown)

    def _link(self, file: str, text: str, root: str) -> str:
        path = self.package / file
        if not path.is_file():
            raise ValueError(f"[[{file}: {text}]]: there is no {path}")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if text in line:
                return f"[`{file}:{number}`]({root}{page_name(file)}#{anchor(number)})"
        raise ValueError(f"[[{file}: {text}]]: no line of the file holds that text")

    def page(self, file: str) -> str:
        """The page that shows a file's source, each line with an anchor."""
        source = (self.package / file).read_text(encoding="utf-8")
        # more backquotes than any docstring has
        return f'# {file}\n\n`````` {{ .python linenums="1" }}\n{source}``````\n'


def page_name(file: str) -> str:
    """Where a file's source is shown, seen from the site's root."""
    return f"source/{file.removesuffix('.py')}.md"


def anchor(line: int) -> str:
    """The anchor of a line on such a page, which has one block of code."""
    return f"__codelineno-0-{line}"
