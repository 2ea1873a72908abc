"""Every command of the manual runs on the local AWS and ends as its page says, but for the table in tests/docs/commands.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs.commands import steps
from tests.e2e import planting
from tests.e2e.desk import JUDGES, Desk
from tests.e2e.stages import LAST, STAGES, launched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGES = {
    page: runs for page, several in steps().items() if (runs := [step for step in several if step.why_not is None])
}
"""The commands that run, by page; the others are in the table."""
ORDER = sorted(PAGES, key=lambda page: (page in LAST and LAST.index(page) + 1, page))

pytestmark = pytest.mark.skipif(
    not (JUDGES / "aws").exists(), reason="the command line of AWS is not installed: run `make setup`"
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One local AWS for all pages, with every setting that a page needs; what takes a minute there takes a second."""
    with planting.deployed(time_scale=0.02) as world:
        desk = Desk(world, tools=tmp_path_factory.mktemp("tools"))
        desk.equip()
        yield desk


@pytest.mark.parametrize("page", ORDER)
def test_the_commands_of_a_page_run(desk: Desk, page: str, tmp_path: Path) -> None:
    """In their order, as somebody pastes them who has the accounts and instances of the examples."""
    desk.settle(tmp_path)
    with desk.running:
        STAGES.get(page, launched)(desk)
        said = ""
        for step in PAGES[page]:
            ended = desk.run(step)
            said += f"$ {step.text}\n{ended.out}{ended.err}\n"
            assert step.code == ended.code, said
            assert '"FunctionError"' not in ended.out, said


def test_every_stage_is_that_of_a_page() -> None:
    """A page that is gone needs none."""
    assert {*STAGES, *LAST} <= PAGES.keys()
