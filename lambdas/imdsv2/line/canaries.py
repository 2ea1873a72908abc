"""Canaries: within a cohort, a few instances go first, and the rest wait until these have stayed clean.

Canaries are chosen from all of the cohort's instances in EC2, not only from those requested, and are kept in the
ledger, so that every request gets the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from imdsv2.domain import gates as gate
from imdsv2.domain.cohort import Cohort, canaries_wanted, describe_cohort, in_order, lineage_of
from imdsv2.domain.texts.commands import command
from imdsv2.domain.texts.words import count
from imdsv2.domain.verdict import DAILY
from imdsv2.errors import LedgerContended
from imdsv2.line.canary_records import (
    CHANGED,
    goes_first,
    is_clean,
    may_be_summoned,
    proves_itself_later,
    without_ended,
)
from imdsv2.line.judgement import Further

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Canary
    from imdsv2.domain.verdict import Verdict
    from imdsv2.ledger.cohort import Cohorts
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.judgement import Judgement

    LookFurther = Callable[[set[str]], Further]
    """Evaluates other running instances of the cohorts, except busy ones, as far as it takes to choose canaries."""

_OPEN_FOR = timedelta(days=30)
"""After that, a group or an image may run other software, so the cohort starts again with new canaries."""
_METRICS_SETTLE = timedelta(minutes=20)
_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """``held``: instances that wait, with the verdict; ``canaries``: those that go first; ``summoned``: unrequested
    canaries."""

    held: dict[InstanceArn, Verdict]
    canaries: set[InstanceArn]
    summoned: list[Judgement]


class Canaries:
    """Chooses canaries and keeps them in the ledger. Methods may raise ClientError or LedgerContended."""

    def __init__(self, cohorts: Cohorts, ledger: Ledger) -> None:
        self._cohorts = cohorts
        self._ledger = ledger

    def broken(self, willing: Sequence[Judgement], now: datetime) -> dict[InstanceArn, Verdict]:
        """Holds for the instances whose cohort is broken, canaries included."""
        keys = {each.cohort for each in willing if each.cohort}
        cohorts = self._cohorts.read(keys | set(map(lineage_of, keys)))
        records = self._records(cohorts.values(), willing)
        broken = {key: verdict for key, each in cohorts.items() if (verdict := _broken(each, records, now))}
        return {
            each.arn: verdict
            for each in willing
            if each.cohort and (verdict := broken.get(each.cohort) or broken.get(lineage_of(each.cohort)))
        }

    def ask(
        self, willing: Sequence[Judgement], rule: Canary, look_further: LookFurther, now: datetime, *, dry_run: bool
    ) -> Turns:
        """Decide which instances of one account and Region may proceed. A dry run writes nothing."""
        turns = Turns(held=self._broken_elsewhere(willing, now), canaries=set(), summoned=[])
        by_cohort: dict[str, list[Judgement]] = {}
        for each in willing:
            if each.cohort is not None and each.arn not in turns.held:
                by_cohort.setdefault(each.cohort, []).append(each)
        if not by_cohort:
            return turns
        for _ in range(_TRIES):
            asked = self._ask(by_cohort, rule, look_further, now, dry_run=dry_run)
            settled = {key: each for key, each in asked.items() if each is not None}
            for turn in settled.values():
                turns.held.update(turn.held)
                turns.canaries.update(turn.canaries)
                turns.summoned.extend(turn.summoned)
            by_cohort = {key: several for key, several in by_cohort.items() if key not in settled}
            if not by_cohort:
                return turns
        raise LedgerContended("others keep choosing canaries of the same cohorts; this is tried again")

    def _broken_elsewhere(self, willing: Sequence[Judgement], now: datetime) -> dict[InstanceArn, Verdict]:
        """Holds for the instances of whose source another version broke, before this one has canaries of its own."""
        lineages = {
            lineage: each for each in willing if each.cohort and (lineage := lineage_of(each.cohort)) != each.cohort
        }
        cohorts = self._cohorts.read(lineages) if lineages else {}
        records = self._records([each for each in cohorts.values() if each.broken_by is not None], willing)
        broken = {key: verdict for key, each in cohorts.items() if (verdict := _broken(each, records, now))}
        return {
            each.arn: broken[lineage]
            for each in willing
            if each.cohort and (lineage := lineage_of(each.cohort)) in broken
        }

    def _ask(
        self,
        by_cohort: Mapping[str, Sequence[Judgement]],
        rule: Canary,
        look_further: LookFurther,
        now: datetime,
        *,
        dry_run: bool,
    ) -> dict[str, Turns | None]:
        """The turns per cohort; None if the cohort's item changed in the meantime."""
        known = self._cohorts.read(by_cohort)
        willing = [each for several in by_cohort.values() for each in several]
        records = self._records(known.values(), willing)
        cohorts = {key: without_ended(_renewed(cohort, records, now), records) for key, cohort in known.items()}
        kept = _valid(cohorts, by_cohort, records)
        short = {key for key, cohort in cohorts.items() if _lacks_canaries(cohort, kept[key])}
        looked = look_further(short) if short else Further()
        further = [each for each in looked.willing if may_be_summoned(each.record)]
        if short:
            # EC2 no longer lists a canary that was enforced in the meantime, but its ledger record was written before:
            # read again.
            records = self._records(known.values(), willing)
            kept = _valid(cohorts, by_cohort, records)
        turns: dict[str, Turns | None] = {}
        for key, several in by_cohort.items():
            others = [each for each in further if each.cohort == key]
            candidates = [*several, *others]
            share = partial(canaries_wanted, rule.share, unseen=looked.unseen.get(key, 0))
            chosen = _choose(cohorts[key], kept[key], candidates, records, share) if key in short else cohorts[key]
            opened = _opened(chosen, records, now)
            if opened != known[key] and not dry_run and not self._cohorts.save(opened):
                turns[key] = None
                continue
            new = [each for each in others if each.arn not in kept[key]]
            turns[key] = _turns(opened, several, new, records, rule, now)
        return turns

    def _records(self, cohorts: Iterable[Cohort], willing: Sequence[Judgement]) -> dict[InstanceArn, Record]:
        """The records of the requested instances and of those that each cohort's state depends on."""
        in_hand = {each.arn: each.record for each in willing}
        missing = {arn for cohort in cohorts for arn in _decisive(cohort) if arn not in in_hand}
        return (self._ledger.read(missing) if missing else {}) | in_hand


def _valid(
    cohorts: Mapping[str, Cohort],
    by_cohort: Mapping[str, Sequence[Judgement]],
    records: Mapping[InstanceArn, Record],
) -> dict[str, list[InstanceArn]]:
    """Those of each cohort's canaries that are still valid."""
    return {
        key: [arn for arn in cohort.canaries if goes_first(arn, by_cohort[key], records)]
        for key, cohort in cohorts.items()
    }


def _lacks_canaries(cohort: Cohort, kept: Sequence[InstanceArn]) -> bool:
    """Whether canaries have to be chosen: what is held needs none, and what is open needs none any more."""
    if cohort.broken_by is not None or cohort.opened_at is not None:
        return False
    return not kept or len(kept) < cohort.wanted


def _decisive(cohort: Cohort) -> tuple[InstanceArn, ...]:
    if cohort.broken_by is not None:
        return (cohort.broken_by,)
    return () if cohort.opened_at is not None else cohort.canaries


def _renewed(cohort: Cohort, records: Mapping[InstanceArn, Record], now: datetime) -> Cohort:
    """The cohort, reset if it was opened long ago, or if the broken instance has been cleared."""
    opened_long_ago = cohort.opened_at is not None and now - cohort.opened_at >= _OPEN_FOR
    cleared = cohort.broken_by is not None and _held_by(cohort, records) is None
    return cohort.renewed() if opened_long_ago or cleared else cohort


def _held_by(cohort: Cohort, records: Mapping[InstanceArn, Record]) -> InstanceArn | None:
    """The instance whose breakage holds the cohort, from the moment at which the guard sees it, until a person clears it."""
    if cohort.broken_by is None or not cohort.is_held(records[cohort.broken_by].cleared_at):
        return None
    return cohort.broken_by


def _broken(cohort: Cohort, records: Mapping[InstanceArn, Record], now: datetime) -> Verdict | None:
    held_by = _held_by(cohort, records)
    if held_by is None:
        return None
    which = f"{held_by.instance_id}, which runs the same software ({describe_cohort(cohort.key)}),"
    if cohort.unexplained:
        why = (
            f"{which} was put back by somebody, or had IMDSv1 calls rejected, and nobody has said why. If its software needs IMDSv1, "
            f"update that first; then, or if nothing broke, say so: {command('clear', held_by)}"
        )
    else:
        why = f"{which} broke without IMDSv1. Update that software and restart it; then: {command('clear', held_by)}"
    return gate.canary_wait(why, now + DAILY, now)  # Whoever clears that instance makes due what waits for it.


def _choose(
    cohort: Cohort,
    kept: Sequence[InstanceArn],
    candidates: Sequence[Judgement],
    records: Mapping[InstanceArn, Record],
    share: Callable[[int], int],
) -> Cohort:
    """The cohort with its canaries filled up to the wanted number, preferring running instances."""
    running = [each.arn for each in candidates if each.instance is not None and each.instance.state == "running"]
    if not running:
        # Keep stopped canaries: another stopped instance proves no more, and their next start is watched.
        kept = [arn for arn in cohort.canaries if arn in kept or proves_itself_later(records.get(arn))]
    pool = [arn for arn in running or [each.arn for each in candidates] if arn not in kept]
    wanted = cohort.wanted if kept else share(len(pool))
    new = in_order(pool)[: wanted - len(kept)]
    return replace(cohort.renewed(), canaries=(*kept, *new), wanted=wanted)


def _opened(cohort: Cohort, records: Mapping[InstanceArn, Record], now: datetime) -> Cohort:
    if cohort.opened_at is None and cohort.canaries and all(is_clean(records.get(arn)) for arn in cohort.canaries):
        return replace(cohort, opened_at=now)
    return cohort


def _turns(
    cohort: Cohort,
    willing: Sequence[Judgement],
    others: Sequence[Judgement],
    records: Mapping[InstanceArn, Record],
    rule: Canary,
    now: datetime,
) -> Turns:
    canaries = set(cohort.canaries)
    summoned = [each for each in others if each.arn in canaries]
    broken = _broken(cohort, records, now)
    if broken is not None:
        return Turns(held={each.arn: broken for each in willing}, canaries=set(), summoned=[])
    if cohort.opened_at is not None:
        return Turns(held={}, canaries=set(), summoned=[])
    wait = _wait(cohort, records, rule, now)
    return Turns(
        held={each.arn: wait for each in willing if each.arn not in canaries}, canaries=canaries, summoned=summoned
    )


def _wait(cohort: Cohort, records: Mapping[InstanceArn, Record], rule: Canary, now: datetime) -> Verdict:
    since = {
        arn: record.enforced_at
        for arn in cohort.canaries
        if (record := records.get(arn)) is not None and record.status in CHANGED
    }
    changed = [when for when in since.values() if when is not None]
    all_changed = len(changed) == len(cohort.canaries)
    opens_at = max(changed) + timedelta(hours=rule.hours) + _METRICS_SETTLE if all_changed else None
    ids = ", ".join(arn.instance_id for arn in cohort.canaries[:5]) + (
        " and others" if len(cohort.canaries) > 5 else ""
    )
    what = "have been changed" if all_changed else "go first, and wait for their own turn"
    why = (
        f"Of the instances that run the same software ({describe_cohort(cohort.key)}), {ids} {what}; the others follow when those have stayed "
        f"clean for {count(rule.hours, 'hour')}."
    )
    return gate.canary_wait(why, opens_at, now)
