"""Settings of Sphinx: how the pages and the reference from the docstrings are built."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docutils import nodes

from media_watch_tasks import __version__

if TYPE_CHECKING:
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

project = "media_watch_tasks"
author = "the media_watch_tasks maintainers"
copyright = f"2026, {author}"  # noqa: A001 - the name that Sphinx reads
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"media_watch_tasks {release}"
html_copy_source = False

myst_heading_anchors = 4

# The docstrings write code in single backticks. It becomes a link where it names something of the library.
default_role = "py:obj"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
python_use_unqualified_type_names = True

nitpicky = True
# What is not of the library has no page here. A broken link to something of the library stays an error.
nitpick_ignore_regex = [("py:.*", r"(?!media_watch_tasks\.).*")]

_WORD = re.compile(r"[a-z]+")
_texts: dict[tuple[str, str], list[str]] = {}


def _link(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Resolve a short name (`CancelToken`, `save_source`) wherever exactly one thing of the library has it."""
    if node.get("refdomain") != "py":
        return None
    target = re.sub(r"\(.*\)$", "", node["reftarget"]).lstrip(".")
    is_code = node["reftype"] == "obj"
    entries = environment.domains.python_domain.objects
    found = {name: entry for name, entry in entries.items() if name.endswith("." + target)}
    # A plain word in backticks is rather a value or a parameter than the one attribute of that name.
    if len(found) == 1 and not (is_code and _WORD.fullmatch(target)):
        ((name, entry),) = found.items()
        uri = app.builder.get_relative_uri(node["refdoc"], entry.docname) + "#" + entry.node_id
        return nodes.reference("", "", content, internal=True, refuri=uri, reftitle=name)
    return content if is_code else None


def _keep(_app: Sphinx, what: str, name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Read the docstrings as they are written, and keep them from napoleon, see `_restore`.

    A backtick may be followed by a letter (`id`s), and an indented block behind a blank line is code.
    """
    spaced = [re.sub(r"(`[^`]+`)(?=\w)", r"\1\\ ", line) for line in lines]
    lines.clear()
    indented = False
    for before, line in zip(["text", *spaced], spaced, strict=False):
        begins = line.startswith("    ") and not before.strip() and not indented
        if begins:
            lines += ["::", ""]
        indented = begins or (indented and (line.startswith("    ") or not line.strip()))
        lines.append(line)
    _texts[what, name] = list(lines)


def _restore(_app: Sphinx, what: str, name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Undo that napoleon takes the words before a colon in the text of an attribute for its type."""
    text = _texts.pop((what, name), None)
    if text is not None and what in {"attribute", "data", "property"}:
        lines[:] = text


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("missing-reference", _link)
    app.connect("autodoc-process-docstring", _keep, priority=100)
    app.connect("autodoc-process-docstring", _restore, priority=900)


# Parts of rooms that no user meets.
nitpick_ignore = [
    ("py:class", "media_watch_tasks.smb.changes.SmbChanges"),
    ("py:class", "media_watch_tasks.smb.session.ShareSession"),
    ("py:class", "media_watch_tasks.smb.open_file.OpenFile"),
    ("py:class", "media_watch_tasks.stores.memory.changes.MemoryChanges"),
    ("py:class", "media_watch_tasks.testing.s3.objects.Multipart"),
    ("py:class", "media_watch_tasks.testing.s3.objects.StoredObject"),
    # A type variable is no class.
    ("py:class", "media_watch_tasks.abc.stores._Result"),
]
