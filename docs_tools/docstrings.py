"""An extension of griffe: docstrings are turned into Markdown before mkdocstrings reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

from docs_tools.rst import to_markdown

PACKAGE = "pyro_mixvae"


class MarkdownDocstrings(griffe.Extension):
    """Rewrites every docstring of the package, with links to what its public interface holds."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs: Any) -> None:
        if pkg.path != PACKAGE:
            return
        public = dict(public_objects(pkg))
        for found in _own_objects(pkg):
            if found.docstring is None and found.is_attribute and (text := _comment(found)):
                found.docstring = griffe.Docstring(text, parent=found)
            if found.docstring is not None:
                found.docstring.value = to_markdown(
                    found.docstring.value, lambda name, at=found: _link(name, at, public)
                )
        for module in _subpackages(pkg):
            for name in map(str, module.exports or ()):
                # a function hides the module of the same name that it comes from
                if (exported := _exported(module, name)) is not module.members[name]:
                    module.members[name] = griffe.Alias(name, exported, parent=module)


def public_objects(package: griffe.Module) -> Iterator[tuple[str, str]]:
    """The canonical path and the public one of all that subpackages export, and of its public members."""
    for module in _subpackages(package):
        for name in map(str, module.exports or ()):
            found = _exported(module, name)
            yield found.canonical_path, f"{module.path}.{name}"
            if found.is_class:
                for member in found.members.values():
                    if not member.is_alias and not member.name.startswith("_"):
                        yield member.canonical_path, f"{module.path}.{name}.{member.name}"


def _subpackages(package: griffe.Module) -> list[griffe.Module]:
    return [member for member in package.members.values() if not member.is_alias and member.is_module]


def _exported(module: griffe.Module, name: str) -> Any:
    found = module.members[name]
    hidden = found.is_module and not found.is_alias and name in found.members
    return found.members[name] if hidden else found


def _own_objects(found: griffe.Object) -> Iterator[griffe.Object]:
    yield found
    for member in found.members.values():
        if not member.is_alias:
            yield from _own_objects(member)


def _comment(attribute: griffe.Object) -> str:
    """The comment that starts with ``#:`` above an attribute: what Sphinx, too, takes for its documentation."""
    if attribute.lineno is None or not isinstance(attribute.filepath, Path):
        return ""
    comment: list[str] = []
    for line in reversed(attribute.lines_collection[attribute.filepath][: attribute.lineno - 1]):
        if not line.strip().startswith("#:"):
            break
        comment.insert(0, line.strip().removeprefix("#:").strip())
    return " ".join(comment)


def _link(name: str, at: griffe.Object, public: dict[str, str]) -> str | None:
    """The public path of what a docstring calls by this name, by its full path or as seen from there."""
    name = name.removesuffix("()")
    if not name.startswith(f"{PACKAGE}."):
        try:
            name = at.resolve(name)
        except griffe.NameResolutionError:
            return None
    if name in public.values():
        return name
    return public.get(name)
