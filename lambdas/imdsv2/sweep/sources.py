"""The sweep's look at what launches the instances of an account and Region: verdicts, their records, and what people are told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.documents import to_seconds
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.errors import LedgerContended
from imdsv2.line.sources.book import owner_of_source
from imdsv2.source.effect import REQUIRED
from imdsv2.source.remedies import remedies_of
from imdsv2.source.verdict import SourceVerdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools import Logger

    from imdsv2.domain.instance import Place
    from imdsv2.ledger.source_verdicts import SourceRecord
    from imdsv2.line.sources.book import SourceBook
    from imdsv2.line.sources.judging import JudgedSource, Seen, SourceJudge

LEFT = "~"
"""Stands for the last instance of a place of which only the sources are left: it sorts after every id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What was found of a place. ``counts``: sources by verdict, or ``failed``; ``documents``: one for each source."""

    counts: dict[str, int]
    documents: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSweep:
    """Judges the sources of one place after another."""

    judge: SourceJudge
    book: SourceBook
    logger: Logger

    def go_through(self, place: Place, *, dry_run: bool) -> Sources:
        """Judge all sources of a place. A dry run writes nothing. Never raises what AWS answers: the instances are judged, and the
        next night comes."""
        now = self.book.now()
        policy = self.book.policies.current(now).policy
        if decide_scope(place, policy, now) is not None:
            return Sources(counts={})
        try:
            seen = self.judge.look(place)
            judged = self.judge.sources(seen)
            records = self._keep(place, seen, judged) if not dry_run else {}
        except (*CALL_FAILURES, LedgerContended) as error:
            where = {"account": place.account, "region": place.region, "problem": describe_error(error)}
            self.logger.warning("sources not judged", extra=where)
            return Sources(counts={"failed": 1})
        counts = Counter(str(each.judged.verdict) for each in judged)
        documents = [_document(each, records.get(each.name.key), policy.owner_tag) for each in judged]
        return Sources(counts=dict(counts), documents=documents)

    def _keep(self, place: Place, seen: Seen, judged: list[JudgedSource]) -> Mapping[str, SourceRecord]:
        """Record the verdicts; judge anew what findings have named; tell of what has changed."""
        records = self.book.record(judged)
        known = self.book.verdicts.read(each.key for each in seen.names)
        named = self.judge.named(seen, [each for each in seen.names if known[each.key].version])
        of_findings = self.book.record(named)
        self.book.annotate(of_findings.values(), dict.fromkeys(of_findings, place))
        self.book.tell_owners(judged, records)
        return records


def _document(each: JudgedSource, record: SourceRecord | None, owner_tag: str) -> dict[str, Any]:
    source, now = each.source, each.judged.verdict is SourceVerdict.FIX_SOURCE
    running = source.running
    remedies = [] if each.judged.verdict is SourceVerdict.ALREADY_REQUIRED else remedies_of(source)
    return {
        "key": each.name.key,
        "account": each.name.account,
        "region": each.name.region,
        "kind": source.origin.kind,
        "name": source.origin.name,
        "within": source.origin.within or None,
        "arn": source.arn,
        "owner": owner_of_source(each, owner_tag),
        "http_tokens": source.tokens,
        "verdict": each.judged.verdict,
        "reason": each.reason,
        "since": to_seconds(record.since) if record is not None else None,
        "explanation": each.judged.explanation,
        "running": len(running),
        "allowing_imdsv1": sum(one.options.http_tokens != REQUIRED for one in running),
        "remedies": [
            {
                "language": remedy.language,
                "apply": "now" if now else "when the hold has ended",
                "says": remedy.says,
                "replaces_running_instances": remedy.replaces,
                "text": remedy.text,
            }
            for remedy in remedies
        ],
    }
