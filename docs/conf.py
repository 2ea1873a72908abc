"""How Sphinx builds the manual: `make manual`. The pages are Markdown that GitHub shows as well, so no page needs a directive but the index."""

from __future__ import annotations

from html import escape
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "IMDSv2 remediation"
release = run_path(str(Path(__file__).parents[1] / "lambdas" / "imdsv2" / "version.py"))["VERSION"]
extensions = ["myst_parser"]
exclude_patterns = ["requirements.txt", "gate"]
html_theme = "furo"
html_title = f"IMDSv2 remediation {release}"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
# Headings are link targets by their text, as on GitHub.
myst_heading_anchors = 4
# Prompts, payloads and sessions are not always what a lexer takes for valid; text without colours is no reason to fail.
suppress_warnings = ["misc.highlighting_failure"]
# Nothing is fetched when the pages are read: the theme's fonts are the system's, and what draws the diagrams lies beside the pages.
MERMAID = Path(__file__).parents[1] / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
html_static_path = ["_static", str(MERMAID)]


def setup(app: Sphinx) -> None:
    """Have the reader's browser draw blocks of Mermaid, as GitHub does.

    Mermaid's usual loader is a module, which browsers refuse to load from a file. Here it is a plain script, loaded by pages that have a
    diagram only.
    """
    app.connect("doctree-resolved", _leave_diagrams_to_the_browser)
    app.connect("html-page-context", _load_what_draws)


def _leave_diagrams_to_the_browser(_app: Sphinx, tree: nodes.document, _page: str) -> None:
    for block in list(tree.findall(nodes.literal_block)):
        if block.get("language") == "mermaid":
            html = f'<pre class="mermaid" tabindex="0">{escape(block.astext())}</pre>'
            block.replace_self(nodes.raw("", html, format="html"))


def _load_what_draws(
    app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: nodes.document | None
) -> None:
    if '<pre class="mermaid"' in context.get("body", ""):
        app.add_css_file("diagrams.css")
        app.add_js_file(MERMAID.name)
        app.add_js_file("diagrams.js")
