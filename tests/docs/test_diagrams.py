"""Every diagram of the manual is drawn by a browser that reaches no network, in light and dark, and says what it shows to those who hear it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.browser import Browser, chromium
from tests.docs.pages import DOCS
from tests.docs.sphinx import can_build

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.sphinx import Built

PROGRAM = chromium()
BLOCK = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIAGRAMS = {page.stem: found for page in DOCS.rglob("*.md") if (found := BLOCK.findall(page.read_text()))}
LEAST_CONTRAST = 4.5
"""WCAG AA, for text of usual size."""
DRAWN = """
new Promise(done => {
  const look = () => document.querySelectorAll('pre.mermaid:not([data-processed])').length ? setTimeout(look, 50) : done();
  look();
})
"""
FOUND = """
[...document.querySelectorAll('pre.mermaid')].map(block => {
  const svg = block.querySelector('svg');
  return {
    role: svg?.getAttribute('aria-roledescription'),
    title: svg?.querySelector('title')?.textContent,
    description: svg?.querySelector('desc')?.textContent,
    text: svg?.textContent,
    width: svg?.getBoundingClientRect().width,
    height: svg?.getBoundingClientRect().height,
  };
})
"""
CONTRASTS = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.fillStyle = '#000'; canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const part = value => value <= 10.31475 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const light = colour => { const [r, g, b] = rgb(colour).map(part); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ratio = (one, other) => { const [low, high] = [light(one), light(other)].sort((a, b) => a - b); return (high + 0.05) / (low + 0.05); };
  return [...document.querySelectorAll('pre.mermaid svg .node')].flatMap(node => {
    const text = node.querySelector('text, .nodeLabel'), shape = node.querySelector('rect, path, polygon');
    if (!text?.textContent.trim() || !shape) return [];
    return [ratio(getComputedStyle(text).fill, getComputedStyle(shape).fill)];
  });
})()
"""


@pytest.mark.parametrize("page", DIAGRAMS)
def test_a_diagram_has_a_title_and_says_what_it_shows(page: str) -> None:
    """In its text, so that GitHub's readers have both, too."""
    for text in DIAGRAMS[page]:
        assert re.search(r"^  accTitle: \S", text, re.MULTILINE), text[:80]
        assert re.search(r"^  accDescr: \S", text, re.MULTILINE), text[:80]


@can_build
@pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium: apt-get install chromium")
@pytest.mark.parametrize("page", DIAGRAMS)
def test_a_page_s_diagrams_are_drawn_without_network(manual: Built, page: str, tmp_path: Path) -> None:
    """All of them, with all their words; the text in them can be read in light and dark."""
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile", "--window-size=1300,1000") as browser:
        browser.open(manual.pages / f"{page}.html")
        browser.run(DRAWN)
        drawn = browser.run(FOUND)
        light = browser.run(CONTRASTS)
        browser.dark()
        dark = browser.run(CONTRASTS)
    assert len(DIAGRAMS[page]) == len(drawn)
    for text, found in zip(DIAGRAMS[page], drawn, strict=True):
        assert found["role"] not in {None, "error"}, text[:80]
        assert min(found["width"], found["height"]) > 100, found
        assert re.search(r"accTitle: (.*)", text)[1] == found["title"]  # type: ignore[index]
        assert found["description"]
        said = re.sub(r"\s", "", found["text"])
        for label in re.findall(r'\["([^"]+)"\]', text):
            assert re.sub(r"\s", "", label) in said, label
    assert [] == browser.complaints
    assert [] == [each for each in browser.loaded if not each.startswith(("file:", "data:"))]
    for ratios in (light, dark):
        assert ratios
        assert min(ratios) >= LEAST_CONTRAST


@can_build
def test_only_pages_with_a_diagram_load_what_draws(manual: Built) -> None:
    """It is two megabytes large."""
    loading = {page.stem for page in manual.pages.rglob("*.html") if "mermaid.tiny.js" in page.read_text()}
    assert DIAGRAMS.keys() == loading
