"""What is done to sources, AMIs and defaults is told once in the trail: a write that is sent again makes no second event, and one that
comes too late makes none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.graduation import Graduation, Lock
from imdsv2.domain.instance import Place
from imdsv2.domain.source_fix import FixStatus, SourceFix, Step
from imdsv2.errors import LedgerContended
from imdsv2.ledger.graduation import Graduations
from imdsv2.ledger.images import ImageEvents
from imdsv2.ledger.sources import SourceFixes
from imdsv2.ledger.trail import Author, Kind, Provenance, trail_day
from tests.integration.builders import MEMBER, NOW, REGION
from tests.world.ledger_table import TABLE

if TYPE_CHECKING:
    from tests.world.lossy import LossyTable

HERE = Place("aws", REGION, MEMBER)
KEY = f"aws/{MEMBER}/{REGION}/launch_template:till"
TRAIL = Provenance(lambda: "request-5", 4)
INES = Author(caller="ines", source="manual", because="Proved.")
STEP = Step(template="lt-0b", name="till", base=6, default=5, latest=8)
FIXING = SourceFix(key=KEY, attempt="a", steps=(STEP,), caller="ines").moved(FixStatus.FIXING, NOW, "Planned.")
LOCKING = Graduation(place=HERE, status=Lock.LOCKING, before={"HttpTokens": "no-preference"}, by="ines")


class Twice:
    """DynamoDB, to which the SDK sends every transaction again because the first answer got lost."""

    def __init__(self, table: LossyTable) -> None:
        self._client = table.client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **request: Any) -> Any:
        self._client.transact_write_items(**request)
        return self._client.transact_write_items(**request)


def told(table: LossyTable) -> list[tuple[str, str]]:
    """What each event of the trail is about, and its kind; all of them lie in the index."""
    found = [each for (_, sk), each in table.items.items() if sk.startswith("decision#")]
    assert all(trail_day(NOW, each["pk"]["S"]) == each["trail_day"]["S"] for each in found)
    assert all(("request-5", "4") == (each["request_id"]["S"], each["policy_version"]["N"]) for each in found)
    return [(each["pk"]["S"], each["kind"]["S"]) for each in found]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_source_s_change_is_told_once(forgets: bool, table: LossyTable) -> None:
    """Known by the token, and later by the id in the item."""
    table.forgets = forgets
    fixes: Any = SourceFixes(Twice(table), TABLE, TRAIL)  # type: ignore[arg-type]
    saved = fixes.save(FIXING)
    assert 1 == saved.version
    assert [(f"source#{KEY}", "source_fixing")] == told(table)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_lock_is_told_once(forgets: bool, table: LossyTable) -> None:
    """Likewise."""
    table.forgets = forgets
    Graduations(Twice(table), TABLE, TRAIL).save(LOCKING, NOW, INES)  # type: ignore[arg-type]
    assert [(f"defaults#aws/{MEMBER}/{REGION}", "defaults_locking")] == told(table)


def test_an_ami_s_change_is_told_once(table: LossyTable) -> None:
    """And is no error."""
    images = ImageEvents(Twice(table), TABLE, TRAIL)  # type: ignore[arg-type]
    images.add(HERE, "ami-0e", Kind.IMAGE_REQUIRING, NOW, INES)
    assert [(f"image#aws/{MEMBER}/{REGION}/ami-0e", "image_requiring")] == told(table)


def test_what_is_no_change_of_status_is_not_told(table: LossyTable) -> None:
    """A lease, a version that was made, a message that was sent; whether the item was read or written before."""
    fixes = SourceFixes(table.client, TABLE, TRAIL)
    saved = fixes.save(FIXING)
    assert saved is not None
    made = fixes.save(replace(saved, lease_until=NOW).with_step(0, replace(STEP, made=9)))
    assert made is not None
    assert fixes.save(replace(fixes.read(KEY), owes=frozenset({"tell"}))) is not None
    [listed] = fixes.all()
    assert fixes.save(replace(listed, owes=frozenset())) is not None
    assert 1 == len(told(table))
    assert fixes.save(fixes.read(KEY).moved(FixStatus.LEFT, NOW, "Somebody was there.")) is not None
    assert ["source_fixing", "source_left"] == [kind for _, kind in told(table)]


def test_whoever_comes_too_late_tells_nothing(table: LossyTable) -> None:
    """Neither item nor event."""
    fixes, graduations = SourceFixes(table.client, TABLE, TRAIL), Graduations(table.client, TABLE, TRAIL)
    fixes.save(FIXING)
    assert fixes.save(replace(FIXING, attempt="b")) is None
    graduations.save(LOCKING, NOW, INES)
    with pytest.raises(LedgerContended):
        graduations.save(replace(LOCKING, status=Lock.UNLOCKING), NOW, INES)
    assert ["source_fixing", "defaults_locking"] == [kind for _, kind in told(table)]
