"""How Sphinx builds the manual: `make manual`. The pages are Markdown that GitHub shows as well, so no page needs a directive but the index."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

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
# Nothing is fetched when the pages are read: the theme's fonts are the system's, and pictures of code are shown as their text.


def setup(app: Sphinx) -> None:
    """Show Mermaid's pictures as text: drawing them would need a script from elsewhere."""
    app.add_lexer("mermaid", TextLexer)
