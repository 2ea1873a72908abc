"""Answers which instances there are, so that people can name them as they do: only reads, through the accounts' read roles."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import every_instance, select_instances
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.batches import batched
from imdsv2.domain.instance import Place, partition_of
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.ledger.items import account_key
from imdsv2.people.strangers import known_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Instance
    from imdsv2.ledger.account import Accounts
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Ledger
    from imdsv2.people.find_request import FindQuestion

FOUND_SHOWN = 20_000
"""Lambda's response is limited to 6 MB."""

_ID = re.compile(r"i-[0-9a-f]{8,17}", re.ASCII)
_VALUES_A_FILTER = 200
_PLACES_AT_ONCE = 16
_PLACES_SEARCHED = 5
"""Accounts and Regions that are searched for what an unknown name may have been meant to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    """Answers the question. ``region``: the home Region; ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    accounts: Accounts
    policies: PolicySource
    region: str
    now: Callable[[], datetime]

    def answer(self, search: FindQuestion) -> dict[str, Any]:
        """The instances that exist and fit. Without an account and Region, those are searched of which the ledger knows instances, and the
        ``places`` of the question.

        ``unknown`` has each name that fits none, with the likely one; what fails in an account is told in ``problems``. Raises
        ClientError if the ledger fails.
        """
        problems: list[str] = []
        places = [each for each in self._places(search, problems) if self._is_in_scope(each, problems)]
        look = partial(self._look, requests=_requests(search))
        with ThreadPoolExecutor(_PLACES_AT_ONCE) as pool:
            looked = list(pool.map(look, places))
        found = {each.arn: each for several, _ in looked for each in several}
        problems += [problem for _, problem in looked if problem is not None]
        instances = sorted(found.values(), key=lambda each: each.arn)
        return {
            "command": "find",
            "dry_run": search.dry_run,
            "count": len(instances),
            "results": [_document(each) for each in instances[:FOUND_SHOWN]],
            "unknown": self._unknown(search, instances, places),
            "problems": problems,
        }

    def _places(self, search: FindQuestion, problems: list[str]) -> list[Place]:
        """The accounts and Regions to look at."""
        if search.account and search.region:
            return [Place(partition_of(search.region), search.region, search.account)]
        home = Place(partition_of(self.region), self.region, search.account or "")
        if search.account:
            arns = known_in(self.ledger, account_key(home))
        else:
            keys = [each.key for each in self.accounts.all()]
            arns = sorted(
                {*self.ledger.indexes.waiting(), *(arn for key in keys for arn in known_in(self.ledger, key))}
            )
        given = {each for each in search.places if search.account in {None, each.account}}
        places = given | {Place.of(arn) for arn in arns}
        if not places and search.account:
            problems.append(
                f"The ledger knows no instance of account {search.account} yet, so only {self.region} was searched: name the Region."
            )
            return [home]
        if not places:
            problems.append("The ledger knows no instance yet: name the account and the Region.")
        there = sorted(each for each in places if search.region in {None, each.region})
        if places and not there:
            problems.append(
                f"Nobody has told of an instance in {search.region} yet, so nothing was searched: name the account beside the Region."
            )
        return there

    def _is_in_scope(self, place: Place, problems: list[str]) -> bool:
        scoped = decide_scope(place, self.policies.current(self.now()).policy, self.now())
        if scoped is not None:
            problems.append(scoped.explanation)
        return scoped is None

    def _look(self, place: Place, requests: Sequence[Mapping[str, Sequence[str]]]) -> tuple[list[Instance], str | None]:
        """The instances there that fit, and why they cannot be read, if so."""
        try:
            ec2 = self.clients.ec2(place, "read")
            return [each for filters in requests for each in select_instances(ec2, place, filters)], None
        except CALL_FAILURES as error:
            problem = (
                f"Instances in account {place.account}, {place.region} cannot be read ({describe_error(error)}): deploy the member "
                "roles there and enable the Region, then ask again."
            )
            return [], problem

    def _unknown(
        self, search: FindQuestion, found: Iterable[Instance], places: Sequence[Place]
    ) -> list[dict[str, Any]]:
        known = {name for each in found for name in (each.arn.instance_id, each.tags.get("Name"))}
        unknown = [name for name in search.names if name not in known]
        if not unknown:
            return []
        others = self._names_in(places[:_PLACES_SEARCHED])
        return [{"name": name, "likely": next(iter(get_close_matches(name, others, n=1)), None)} for name in unknown]

    def _names_in(self, places: Iterable[Place]) -> list[str]:
        """The names and ids of all instances there; nothing of where they cannot be read, which is told already."""
        names: set[str] = set()
        for place in places:
            try:
                there = every_instance(self.clients.ec2(place, "read"), place)
            except CALL_FAILURES:
                continue
            names.update(name for each in there for name in (each.arn.instance_id, each.tags.get("Name")) if name)
        return sorted(names)


def _requests(search: FindQuestion) -> list[dict[str, Sequence[str]]]:
    """The filters of each request to EC2 in one account and Region."""
    tags: dict[str, Sequence[str]] = {f"tag:{key}": [value] for key, value in search.tags.items()}
    if not search.names:
        return [tags]
    kinds = {
        "instance-id": [name for name in search.names if _ID.fullmatch(name)],
        "tag:Name": [name for name in search.names if not _ID.fullmatch(name)],
    }
    return [{**tags, name: some} for name, values in kinds.items() for some in batched(values, _VALUES_A_FILTER)]


def _document(instance: Instance) -> dict[str, Any]:
    """One entry of ``results``."""
    return {
        "target": str(instance.arn),
        "name": instance.tags.get("Name"),
        "state": instance.state,
        "http_tokens": instance.options.http_tokens,
        "http_endpoint": instance.options.http_endpoint,
    }
