"""Answers findings about what launches instances: each is judged as that source, recorded, and gets its note."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.domain.instance import Place
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.errors import LedgerContended
from imdsv2.line.sources.judging import JudgedSource
from imdsv2.source.assembly import Source
from imdsv2.source.origin import Kind, Origin
from imdsv2.source.verdict import Judged, SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.request import Finding, SourceRequest
    from imdsv2.domain.source_name import SourceName
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.source_verdicts import SourceRecord
    from imdsv2.line.sources.book import SourceBook
    from imdsv2.line.sources.judging import Seen, SourceJudge

_PLACES_AT_ONCE = 8
_SERVES = timedelta(hours=1)
"""How long a verdict answers further findings about the same thing."""
_SEEN_FOR = timedelta(minutes=10)
"""How long a function remembers a place: Security Hub sends the findings of an account one by one."""
_PLACES_REMEMBERED = 4


class Remembered:
    """The places that were traced last. Thread-safe."""

    def __init__(self) -> None:
        self._seen: dict[Place, tuple[datetime, Seen]] = {}
        self._lock = Lock()

    def of(self, place: Place, now: datetime) -> Seen | None:
        """A place as it was traced lately; None if it was not."""
        at, seen = self._seen.get(place, (now, None))
        return seen if now - at < _SEEN_FOR else None

    def keep(self, place: Place, seen: Seen, now: datetime) -> None:
        """Keep a place in place of the one that was kept first."""
        with self._lock:
            self._seen.pop(place, None)
            while len(self._seen) >= _PLACES_REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[place] = now, seen


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFindings:
    """Answers requests about sources. ``now``: the clock."""

    judge: SourceJudge
    book: SourceBook
    policies: PolicySource
    now: Callable[[], datetime]
    logger: Logger
    remembered: Remembered = field(default_factory=Remembered)

    def run(self, requests: Iterable[SourceRequest]) -> dict[SourceName, Exception]:
        """Answer requests. Returns what failed and is to be tried again, by the source's name. Never raises what AWS answers."""
        places: dict[Place, list[SourceRequest]] = defaultdict(list)
        for each in requests:
            places[Place.of(each.name)].append(each)
        if not places:
            return {}
        failed: dict[SourceName, Exception] = {}
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            for lost in pool.map(lambda item: self._run_alone(*item), places.items()):
                failed |= lost
        return failed

    def _run_alone(self, place: Place, requests: Sequence[SourceRequest]) -> dict[SourceName, Exception]:
        try:
            self._run(place, requests)
        except (*CALL_FAILURES, LedgerContended) as error:
            where = {"account": place.account, "region": place.region, "problem": describe_error(error)}
            self.logger.warning("findings about sources not answered", extra=where)
            return dict.fromkeys((each.name for each in requests), error)
        except Exception as error:
            self.logger.exception("findings about sources failed", extra={"account": place.account})
            return dict.fromkeys((each.name for each in requests), error)
        return {}

    def _run(self, place: Place, requests: Sequence[SourceRequest]) -> None:
        now = self.now()
        if decide_scope(place, self.policies.current(now).policy, now) is not None:
            return
        known = self.book.verdicts.read({each.name.key for each in requests})
        fresh = [each for each in requests if not _is_echo(each, known[each.name.key])]
        findings: dict[str, list[Finding]] = defaultdict(list)
        for each in fresh:
            findings[each.name.key] += [each.finding] if each.finding is not None else []
        to_judge = {each.name for each in fresh if each.asked_by_person or not _serves(known[each.name.key], now)}
        # A person has just changed something, and wants to know what comes of it.
        judged = self._judged(place, to_judge, now, anew=any(each.asked_by_person for each in fresh))
        records = self.book.record(judged, findings)
        others = {key: several for key, several in findings.items() if key not in records}
        records |= self.book.change(others, {key: _Heard(tuple(several)) for key, several in others.items()})
        # An echo completes a note that is still owed.
        echoes = {each.name.key: known[each.name.key] for each in requests if each.name.key not in records}
        self.book.annotate([*records.values(), *echoes.values()], dict.fromkeys([*records, *echoes], place))

    def _judged(self, place: Place, names: set[SourceName], now: datetime, *, anew: bool) -> list[JudgedSource]:
        if not names:
            return []
        try:
            return self.judge.named(self._seen(place, names, now, anew=anew), sorted(names))
        except CALL_FAILURES as error:
            if may_pass(error):
                raise
            return [_unreachable(name, place, error) for name in sorted(names)]

    def _seen(self, place: Place, names: set[SourceName], now: datetime, *, anew: bool) -> Seen:
        """The place as it was traced lately, if that covers these names; else traced anew."""
        known = None if anew else self.remembered.of(place, now)
        if known is not None and all(map(known.knows, names)):
            return known
        seen = self.judge.look(place, names)
        self.remembered.keep(place, seen, now)
        return seen


@dataclass(frozen=True, slots=True)
class _Heard:
    """Notes further findings about what was judged lately."""

    findings: tuple[Finding, ...]

    def __call__(self, record: SourceRecord, _: datetime) -> SourceRecord:
        return record.with_findings(self.findings)


def _is_echo(request: SourceRequest, record: SourceRecord) -> bool:
    return not request.asked_by_person and request.finding is not None and record.is_echo(request.finding)


def _serves(record: SourceRecord, now: datetime) -> bool:
    return record.judged_at is not None and now - record.judged_at < _SERVES


def _unreachable(name: SourceName, place: Place, error: Exception) -> JudgedSource:
    why = (
        f"Account {place.account}, {place.region} cannot be read ({describe_error(error)}): deploy the member roles of this version "
        "there and enable the Region, or exclude it in the policy."
    )
    origin = Origin(kind=Kind.LAUNCH_TEMPLATE, name=name.name)
    source = Source(place=place, origin=origin, instances=(), unread=why)
    return JudgedSource(
        name=name,
        source=source,
        judged=Judged(verdict=SourceVerdict.HOLD, explanation=f"{why} Until then it cannot be judged."),
    )
