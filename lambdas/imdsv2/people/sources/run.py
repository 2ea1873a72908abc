"""Answers where instances come from: each source with its verdict and its remedies. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.launchers import read_launchers
from imdsv2.people.reach import not_there, traced_for
from imdsv2.people.sources.answer import image_document, source_document
from imdsv2.source.assembly import assemble
from imdsv2.source.origin import Kind
from imdsv2.source.sharing import judge_together, within_reach
from imdsv2.source.verdict import holding, judge, word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.launchers import Launcher
    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn, Place, Placed
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.sources.request import SourceQuestion
    from imdsv2.source.assembly import Source
    from imdsv2.source.verdict import Judged, Word

SOURCES_SHOWN = 400
"""Lambda's response is limited to 6 MB, and a source takes up to 12 KB. Name instances to see the others."""

_LAUNCHED_BY_PEOPLE = frozenset({Kind.BY_HAND, Kind.LAUNCH_TEMPLATE, Kind.TERRAFORM_INSTANCE})
_ASKED_OF_A_SOURCE = 3
_ASKED_OF_A_PLACE = 20
"""Instances whose launch is looked up in CloudTrail, the newest first: it takes two requests a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Answers the question. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    policies: PolicySource
    now: Callable[[], datetime]

    def answer(self, question: SourceQuestion) -> dict[str, Any]:
        """The sources of what was asked for, those first that have launched most of the instances that allow IMDSv1. Raises
        ClientError if the ledger fails; what fails in an account is told in ``problems``."""
        problems: list[str] = []
        sources: list[Source] = []
        beside: list[Source] = []
        for place, ids in question.places.items():
            everything = self._of_place(place, ids, problems)
            chosen = [
                each for each in everything if not ids or any(one.arn.instance_id in ids for one in each.instances)
            ]
            sources += chosen
            beside += within_reach(chosen, everything)
        launchers = self._launchers(sources, problems) if question.principals else {}
        known = self.ledger.read(holding([*sources, *beside]))
        words = {arn: word_of(record) for arn, record in known.items() if record.version}
        verdicts = judge_together([*sources, *beside], words)
        return {
            "command": "sources",
            "dry_run": question.dry_run,
            "count": len(sources),
            "results": [
                source_document(source, judged, launchers)
                for source, judged in zip(sources[:SOURCES_SHOWN], verdicts, strict=False)
            ],
            "images": _images(sources, words),
            "problems": problems,
        }

    def _of_place(self, place: Place, ids: frozenset[str], problems: list[str]) -> Sequence[Source]:
        now = self.now()
        traced = traced_for(self.clients, place, self.policies.current(now).policy, now, problems)
        if traced is None:
            return []
        known = {each.arn.instance_id for each in traced.instances}
        problems += not_there(place, ids - known)
        return assemble(place, traced.origins, traced.found)

    def _launchers(self, sources: Iterable[Source], problems: list[str]) -> dict[InstanceArn, Launcher]:
        """Who launched the newest instances of sources that people launch from."""
        wanted: dict[Placed, list[InstanceArn]] = {}
        for source in sources:
            if source.origin.kind in _LAUNCHED_BY_PEOPLE:
                newest = sorted(source.instances, key=lambda each: each.launched_at, reverse=True)
                wanted.setdefault(source.place, []).extend(each.arn for each in newest[:_ASKED_OF_A_SOURCE])
        found: dict[InstanceArn, Launcher] = {}
        for place, arns in wanted.items():
            try:
                found |= read_launchers(self.clients.other("cloudtrail", place), arns[:_ASKED_OF_A_PLACE])
            except CALL_FAILURES as error:
                problems.append(
                    f"CloudTrail in account {place.account}, {place.region} cannot be asked ({describe_error(error)}): deploy the member "
                    "roles of this version there, or ask without principals."
                )
        return found


def _images(sources: Iterable[Source], words: Mapping[InstanceArn, Word]) -> list[dict[str, Any]]:
    """The account's own AMIs that do not require tokens, each with the sources that use it: nobody else is reached by a change of it."""
    users: dict[tuple[Placed, str], list[tuple[Source, Judged]]] = {}
    images = {}
    for source in sources:
        for image in source.open_images:
            key = (source.place, image.id)
            images[key] = image
            users.setdefault(key, []).append((source, judge(source, words)))
    return [image_document(image, users[key]) for key, image in images.items()]
