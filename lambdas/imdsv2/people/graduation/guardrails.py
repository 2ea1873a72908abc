"""Answers what guardrails would block today, from the ledger, a look at the accounts, and CloudWatch where the ledger does not say. Only
reads."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.texts.words import are, count
from imdsv2.errors import InvalidRequest
from imdsv2.people.reach import traced_for
from imdsv2.people.strangers import known_in
from imdsv2.source.assembly import assemble
from imdsv2.source.impact import Guardrail, exposed, impact, of_concern, unclear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.graduation.guardrail_request import GuardrailQuestion
    from imdsv2.people.graduation.guardrail_use import Told, Uses
    from imdsv2.source.assembly import Source
    from imdsv2.source.impact import Hit, Known
    from imdsv2.source.verdict import Word

SHOWN = 2_000
"""Lambda's response is limited to 6 MB."""
_PLACES_AT_ONCE = 16
"""Accounts and Regions: each takes a second or two, and an organisation has hundreds."""

_SAYS = {
    Guardrail.LAUNCHES: "launches would be denied",
    Guardrail.ENFORCED: "launches would be refused with tokens_enforced",
    Guardrail.DELIVERY: "calls with credentials that IMDSv1 delivered would be denied",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardrails:
    """Answers the question. ``region``: the home Region, to whose partition account ids belong; ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    uses: Uses
    accounts: Accounts
    policies: PolicySource
    region: str
    now: Callable[[], datetime]

    def answer(self, question: GuardrailQuestion) -> dict[str, Any]:
        """What would be blocked, by guardrail. Raises ClientError if the ledger fails; what fails in an account is told in
        ``problems``."""
        places = self._places(question)
        sources, problems = self._all_sources(places)
        told = self.uses.told(of_concern(sources))
        words = {arn: each.word for arn, each in told.items()}
        hits = impact(sources, words, question.max_hop_limit, self._known(sources, told, words))
        return {
            "command": "guardrails",
            "dry_run": question.dry_run,
            "summary": _summary(hits, len(places), len(problems)),
            "places": len(places),
            "count": sum(each.certain for each in hits),
            "unknown": sum(not each.certain for each in hits),
            "results": [_document(each) for each in hits[:SHOWN]],
            "problems": problems,
        }

    def _places(self, question: GuardrailQuestion) -> list[Place]:
        """The accounts and Regions to look at: the named one, or those in which the ledger knows an instance."""
        if question.account is not None and question.region is not None:
            return [Place(partition_of(question.region), question.region, question.account)]
        if question.account is None:
            keys = [each.key for each in self.accounts.all()]
            arns = {*self.ledger.indexes.waiting(), *(arn for key in keys for arn in known_in(self.ledger, key))}
        else:
            arns = set(known_in(self.ledger, f"{partition_of(self.region)}/{question.account}"))
            if not arns:
                problem = f"the ledger knows no instance of account {question.account}; name its region beside it"
                raise InvalidRequest("guardrails.account", problem)
        return sorted({Place(arn.partition, arn.region, arn.account) for arn in arns})

    def _known(
        self, sources: Sequence[Source], told: Mapping[InstanceArn, Told], words: Mapping[InstanceArn, Word]
    ) -> Known:
        """What is known of the instances whose use the ledger's words do not tell."""
        now = self.now()
        open_ones = exposed(sources)
        closed = set(of_concern(sources)).difference(open_ones)
        since = now - timedelta(days=self.policies.current(now).policy.lookback_days)
        known = self.uses.of(unclear(open_ones, words), told, since, now)
        return replace(known, closed_lately=self.uses.closed_lately(sorted(closed), told, now))

    def _all_sources(self, places: Sequence[Place]) -> tuple[list[Source], list[str]]:
        """The sources of all places, and what could not be seen of them, in the places' order."""
        now = self.now()
        look = partial(self._sources, policy=self.policies.current(now).policy, now=now)
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            looked = list(pool.map(look, places))
        sources = [each for found, _ in looked for each in found]
        return sources, [each for _, problems in looked for each in problems]

    def _sources(self, place: Place, policy: Policy, now: datetime) -> tuple[Sequence[Source], list[str]]:
        problems: list[str] = []
        traced = traced_for(self.clients, place, policy, now, problems)
        return (assemble(place, traced.origins, traced.found) if traced else []), problems


def _summary(hits: Iterable[Hit], places: int, problems: int) -> str:
    """One sentence for each guardrail, and what they do not say."""
    counted = Counter((each.guardrail, each.certain) for each in hits)
    sentences = [
        f"{guardrail}: {_count(counted[guardrail, True], guardrail)} {says}"
        + (f", and of {counted[guardrail, False]} more it cannot be told" if counted[guardrail, False] else "")
        + "."
        for guardrail, says in _SAYS.items()
    ]
    told = f" {count(problems, 'problem')} {are(problems)} told below; what is hidden by that is not counted."
    there = "1 account and Region" if places == 1 else f"{places} accounts and Regions"
    return f"In {there}, as of today. {' '.join(sentences)}{told if problems else ''}"


def _count(number: int, guardrail: Guardrail) -> str:
    what = "instance" if guardrail is Guardrail.DELIVERY else "source"
    return f"{number} {what}'s" if number == 1 else f"{number} {what}s'"


def _document(hit: Hit) -> dict[str, Any]:
    origin = hit.source.origin
    return {
        "guardrail": hit.guardrail,
        "blocked": True if hit.certain else None,
        "account": hit.source.place.account,
        "region": hit.source.place.region,
        "kind": origin.kind,
        "name": origin.name,
        "target": str(hit.instance.arn) if hit.instance is not None else None,
        "explanation": hit.because,
    }
