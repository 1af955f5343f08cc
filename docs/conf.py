"""How the site is built: `make docs`. It fetches nothing, and what it makes fetches nothing either.

The pages are plain Markdown and are read on a forge as they are; so nothing in them is written for Sphinx alone. The
one thing that Sphinx must be told beside the text, which page stands below which, it is told by the lists of links
that the index pages have anyway (`contents`). A page in no list is a warning, and every warning fails the build.
"""

from __future__ import annotations

import re
from typing import Any

from codeswarm.version import VERSION

project = "Codeswarm"
author = "The Codeswarm authors"
project_copyright = author
version = release = VERSION
language = "en"

extensions = ["myst_parser"]
exclude_patterns = ["generate", "**/__pycache__"]
nitpicky = True
smartquotes = False  # what is between quotes is often to be typed

myst_heading_anchors = 4
"""Headings are linked to by the names that forges give them."""

html_theme = "furo"
html_title = "Codeswarm"
html_static_path = ["_static"]
html_css_files = ["codeswarm.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = False
html_theme_options = {
    "footer_icons": [],
    "light_css_variables": {"color-brand-primary": "#0b6e5f", "color-brand-content": "#0b6e5f"},
    "dark_css_variables": {"color-brand-primary": "#4fd1b5", "color-brand-content": "#4fd1b5"},
}

LISTED = re.compile(r"^(?:[*-]|\d+\.|\|) .*?\]\(([\w./-]+)\.md\)", re.MULTILINE)
"""The first page that an item of a list, or a row of a table, links to."""


def contents(app: Any, page: str, source: list[str]) -> None:
    """Put the pages that an index page lists below it."""
    if page.rpartition("/")[2] == "index":
        pages = "\n".join(LISTED.findall(source[0]))
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
