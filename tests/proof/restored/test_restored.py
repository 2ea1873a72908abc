"""What the service believes of a ledger that is older than the world, and that it does nothing twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import ENFORCED_TAG
from tests.proof.crashes import functions
from tests.proof.crashes.calls import Process
from tests.proof.restored.lives import LIVES

if TYPE_CHECKING:
    from collections.abc import Mapping

OFF, ON_AGAIN = "IMDSv1 switched off", "Somebody switched IMDSv1 on again"
BROKE = "Something broke, and somebody switched IMDSv1 on again"
STAYS_ON = "IMDSv1 stays on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """From which moment of which life the ledger is, what has become of the instance days later, and what people were told."""

    life: str
    moment: str
    tokens: str
    status: str
    reason: str
    told: tuple[str, ...] = ()


VERIFIED: Mapping[str, Any] = {"tokens": "required", "status": "verified", "reason": "unused"}
LEFT_TO_PEOPLE: Mapping[str, Any] = {"tokens": "optional", "status": "held", "reason": "changed_back"}
ROWS = [
    # What it has enforced, and does not know of, it leaves alone: nobody watches it.
    Row(life="healthy", moment="nothing", tokens="required", status="skipped", reason="already_required"),
    # What it was about to enforce it finds done, with its own tag.
    Row(life="healthy", moment="enforcing", **VERIFIED, told=(OFF,)),
    Row(life="healthy", moment="enforced", **VERIFIED),
    Row(life="healthy", moment="verified", **VERIFIED),
    # What it has put back bears its tag, also where the ledger knows nothing of that.
    Row(life="broken", moment="nothing", **LEFT_TO_PEOPLE, told=(STAYS_ON,)),
    # Where the ledger has it enforced, it takes that for the work of somebody else, and leaves it so.
    Row(life="broken", moment="enforced", **LEFT_TO_PEOPLE, told=(BROKE,)),
    Row(life="broken", moment="put back", tokens="optional", status="rolled_back", reason="broke_before"),
    # That holds when its metrics have nothing against it any more, too.
    Row(life="broken and mended", moment="nothing", **LEFT_TO_PEOPLE, told=(STAYS_ON,)),
    Row(life="broken and mended", moment="enforced", **LEFT_TO_PEOPLE, told=(BROKE,)),
    Row(life="broken and mended", moment="put back", tokens="optional", status="rolled_back", reason="broke_before"),
    Row(life="undone", moment="nothing", **LEFT_TO_PEOPLE, told=(STAYS_ON,)),
    Row(life="undone", moment="enforced", **LEFT_TO_PEOPLE, told=(ON_AGAIN,)),
    Row(life="undone", moment="undone", tokens="optional", status="rolled_back", reason="undone_by_person"),
]


def test_every_moment_has_a_row() -> None:
    """Or it would not be known what the service believes then."""
    assert {(life, moment) for life, live in LIVES.items() for moment in live().copies} == {
        (row.life, row.moment) for row in ROWS
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.life}, {row.moment}")
def test_a_restored_ledger(row: Row) -> None:
    """Each row; no option is changed."""
    life = LIVES[row.life]()
    life.restore(row.moment)
    world, item = life.world, life.world.current(life.arn)
    assert (row.tokens, row.status, row.reason) == (
        world.instances[life.arn].options["HttpTokens"],
        item["status"],
        item["reason"],
    )
    assert [] == [wanted for _, wanted, has_effect in world.witness.changes if has_effect]
    assert sorted(row.told) == sorted(each["news"] for each in world.told)


@pytest.mark.parametrize("name", ["broken and mended", "undone"])
def test_what_the_tag_alone_holds_can_be_cleared(name: str) -> None:
    """Then it is enforced, watched and verified like any other."""
    life = LIVES[name]()
    life.restore("nothing")
    [said] = functions.command(life.world, Process(), clear={"targets": [str(life.arn)]})["results"]
    assert (True, ["changed_back"]) == (said["done"], said["voids"])
    life.goes_on()
    item = life.world.current(life.arn)
    assert ("verified", "unused") == (item["status"], item["reason"])
    assert [ENFORCED_TAG] == list(life.world.instances[life.arn].tags)
