"""The settings of Sphinx. `tox -e docs` builds with every warning an error, and needs no network to do so."""

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import Element
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import dspex_erl

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "dspex_erl"
author = "The dspex_erl authors"
copyright = author
version = release = dspex_erl.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest", "state_diagram"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
# Links to files of the repository are links, not downloads.
myst_all_links_external = False

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True

html_theme = "furo"
html_title = f"dspex_erl {release}"
html_show_copyright = False


# Some names are loaded when first asked for; ask, so that autodoc sees them.
PACKAGES = [importlib.import_module(f"dspex_erl.{name}") for name in ("errors", "terms", "etf", "wire")]
for package in PACKAGES:
    for name in package.__all__:
        setattr(package, name, getattr(package, name))


def aliases_of_types() -> set[str]:
    """The names that only type checkers see: a running worker does without them, and starts the sooner."""
    found = set()
    for source in Path(dspex_erl.__file__).parent.rglob("*.py"):
        for block in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
                found |= {node.id for node in ast.walk(block) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return found


ALIASES = aliases_of_types()


def exists(name: str) -> bool:
    """Whether a dotted name leads, by imports and attributes, to anything at all."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        try:
            for part in parts[end:]:
                found = getattr(found, part)
        except AttributeError:
            continue
        return True
    return False


def accept_what_exists(app: Sphinx, env: BuildEnvironment, node: Element, content: Element) -> Element | None:
    """References to Python's own library, and to names of ours that are not public, become plain text if they name something real.

    Python's inventory of names would have to be fetched. Everything else stays an error.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node.get("reftarget"))
    context = [str(node[key]) for key in ("py:module", "py:class") if node.get(key)]
    places = ["", ".".join(context), *context, "builtins", "typing", "collections.abc", *(package.__name__ for package in PACKAGES)]
    known = target in ALIASES or any(exists(f"{place}.{target}".lstrip(".")) for place in places)
    return content if known else None


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", accept_what_exists)
