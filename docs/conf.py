"""The site of docs/: `make docs` builds it with Sphinx, and every warning, such as a broken link, is an error."""

from __future__ import annotations

from atu import __version__

project = "Align-then-Unlearn"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_title = "Align-then-Unlearn"
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
autodoc_typehints = "description"
autodoc_member_order = "bysource"
