"""Takes the pictures of README and manual: `make screenshots`.

Terminals are those of real commands on a local AWS with the tutorial's instances, exported as SVG. The report is rendered by the
command's own code from a made-up fleet of 600 instances, because progress takes nights, and photographed in headless Chromium;
where there is none, its picture stays as it is.
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from imdsv2_cli.report import page
from imdsv2_cli.report.numbers import count
from local.cloud.run import HOME, MEMBERS, LocalCloud
from local.demo import newcomer
from tests.cli.browser import Browser, chromium
from tests.docs.pages import DOCS
from tests.e2e.terminal import Terminal
from tests.world.rows import night, required, row, swept

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURES = DOCS / "pictures"
HERE = ("--account", MEMBERS[0], "--in-region", HOME)
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_ERASED = re.compile(r".*\x1b\[2K", re.DOTALL)
"""Everything up to the end of a progress bar: a person no longer sees it, either."""


def main() -> None:
    """Write all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with LocalCloud() as cloud:
        cloud.deploy()
        newcomer.settle(cloud)
        _photograph_terminal(Terminal(cloud))
    if program := chromium():
        _photograph_report(program)
    else:
        sys.stderr.write("There is no Chromium: the picture of the report stays as it is (apt-get install chromium).\n")


def _photograph_terminal(terminal: Terminal) -> None:
    _done(terminal, "sweep", *HERE)
    _keep("list", 220, terminal, "list")
    _keep("explain", 108, terminal, "explain", "nightly-report", until="Gates:")
    _done(terminal, "sweep", *HERE, "--real", "--yes")
    _done(terminal, "enforce", "web-1", "web-2", *HERE, "--yes")
    hold = ("--owner", "team-data", "--reason", "Migration.", "--until", "30d")
    _done(terminal, "hold", "web-new", *HERE, *hold, "--yes")
    _keep("status", 168, terminal, "status")


def _done(terminal: Terminal, *words: str) -> None:
    ended = terminal.pipe(*words)
    assert 0 == ended.code, ended.err


def _keep(name: str, columns: int, terminal: Terminal, *words: str, until: str | None = None) -> None:
    """Write what a terminal of so many columns shows of a command, up to a line."""
    ended = terminal.screen(*words, COLUMNS=str(columns))
    assert 0 == ended.code, ended.out
    shown = _ERASED.sub("", ended.out).replace("\r\n", "\n")
    shown = shown.partition(until)[0] if until else shown
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ imdsv2 {' '.join(words)}", style="bold"))
    console.print(Text.from_ansi(shown.rstrip("\n") + "\n"))
    drawn = console.export_svg(title="imdsv2", theme=MONOKAI, unique_id=name)
    (PICTURES / f"{name}.svg").write_text(f"{_FONT.sub('', drawn).strip()}\n")


def _photograph_report(program: str) -> None:
    at = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
    rows = list(_fleet(at))
    # Processes of the browser may still write to its profile when it ends.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "report.html"
        file.write_text(page.render(count(rows, at), swept(rows, nights=_nights(at))))
        with Browser(program, Path(folder) / "profile", "--window-size=1100,1400") as browser:
            browser.open(file)
            (PICTURES / "report.png").write_bytes(base64.b64decode(browser.picture()))


def _nights(at: datetime) -> list[dict[str, Any]]:
    """Forty nights on the way to zero, with a pause in the middle."""
    allowed = [560 - 9 * each if each < 18 else 398 - 198 * max(0, each - 22) // 17 for each in range(40)]
    return [night(f"{at - timedelta(days=39 - each):%Y-%m-%d}", number, 600) for each, number in enumerate(allowed)]


def _fleet(at: datetime) -> Iterator[dict[str, str]]:
    """600 instances of three owners: a third still allows IMDSv1, and some of these call it at night."""
    owners = ("team-web", "team-data", "team-shop")
    for number in range(1, 601):
        owner = owners[number % 7 % 3]
        about = {"owner": owner, "name": f"{owner[5:]}-{number}", "account": f"{2 + number % 5 % 3}" * 12}
        if number % 3:
            yield required(
                number, status="verified", enforced_at=f"{at - timedelta(days=number % 30):%Y-%m-%dT%H:%M:%SZ}", **about
            )
        elif number % 2:
            busy = {
                "calls": 4 * number,
                "calls_by_hour": "2:40 26:40 50:44 74:38 98:40 122:12 146:12",
                "pattern": "daily at 02:00",
            }
            yield row(number, reason="v1_in_use", **busy, **about)
        else:
            yield row(number, reason="too_young" if number % 4 else "canary_wait", **about)


if __name__ == "__main__":
    main()
