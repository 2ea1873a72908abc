"""What keeps an account and Region from graduation: its instances, their watches, what launches them, and the launches of 90 days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.launch_templates import read_templates, read_versions
from imdsv2.aws.origins import trace
from imdsv2.aws.past_launches import read_past_launches
from imdsv2.ledger.items import account_key
from imdsv2.people.strangers import known_in
from imdsv2.source.assembly import assemble
from imdsv2.source.launching import Found
from imdsv2.source.readiness import Open, newest_launches, still_open, with_templates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Instance, InstanceArn, Place
    from imdsv2.ledger.table import Ledger
    from imdsv2.source.readiness import PastLaunch

_REMEMBERED = timedelta(days=90)
"""For so long CloudTrail keeps what can be looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found of a place: what is open there, and the launches that CloudTrail remembers."""

    open: Sequence[Open]
    launches: Sequence[PastLaunch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Looks. ``now``: the clock."""

    clients: MemberClients
    ledger: Ledger
    now: Callable[[], datetime]

    def at(self, place: Place, locked_at: datetime | None) -> Look:
        """Everything that may be open. What cannot be read counts as open. ``locked_at``: since when the place's default requires tokens.
        Raises ClientError if the ledger fails."""
        try:
            traced = trace(self.clients, place)
        except CALL_FAILURES as error:
            told = f"Instances cannot be read ({describe_error(error)}): deploy the member roles there, and ask again."
            return Look(open=[Open(what="account", name=place.account, because=told)], launches=[])
        unread = [Open(what="source", name="unread", because=each) for each in traced.found.problems.values()]
        seen, problem = self._launches(place)
        launches, untold = self._with_templates(place, seen)
        sources = assemble(place, traced.origins, traced.found)
        found = still_open(traced.instances, self._watched(place, traced.instances), sources, launches, locked_at)
        return Look(open=[*unread, *(each for each in (problem, untold) if each), *found], launches=launches)

    def _launches(self, place: Place) -> tuple[list[PastLaunch], Open | None]:
        until = self.now()
        try:
            launches, complete = read_past_launches(self.clients.other("cloudtrail", place), until - _REMEMBERED, until)
        except CALL_FAILURES as error:
            told = f"CloudTrail cannot be asked for launches ({describe_error(error)}): deploy the member roles of this version there."
            return [], Open(what="launch", name="CloudTrail", because=told)
        if complete:
            return launches, None
        told = (
            f"CloudTrail has more than {len(launches)} launches; those since {launches[-1].at:%Y-%m-%d} were looked at."
            if launches
            else "CloudTrail has more launches than were looked at."
        )
        return launches, Open(what="launch", name="CloudTrail", because=f"{told} Lock this Region's defaults by hand.")

    def _with_templates(self, place: Place, launches: Sequence[PastLaunch]) -> tuple[Sequence[PastLaunch], Open | None]:
        """What the templates of launches say now: CloudTrail shows the name of a template alone."""
        refs = {each.ref for each in newest_launches(launches)} - {None}
        if not refs:
            return launches, None
        try:
            ec2 = self.clients.ec2_of_sources(place, "read")
            found = Found(templates=read_templates(ec2))
            wanted = {
                (template.id, template.number(ref.version))
                for ref in refs
                if ref is not None and (template := found.template(ref)) is not None
            }
            versions = read_versions(ec2, found.templates, wanted)
        except CALL_FAILURES as error:
            told = f"The launch templates of past launches cannot be read ({describe_error(error)}): deploy the member roles there, and ask again."
            return launches, Open(what="launch", name="launch templates", because=told)
        return with_templates(launches, Found(templates=found.templates, versions=versions)), None

    def _watched(self, place: Place, instances: Sequence[Instance]) -> dict[InstanceArn, str]:
        """Living instances of the place that are under watch or being changed, by the ledger."""
        living = {each.arn for each in instances}
        arns = living.intersection(known_in(self.ledger, account_key(place)))
        return {
            arn: f"It is under watch ({record.status}) until it has proved healthy: wait."
            for arn, record in sorted(self.ledger.read(sorted(arns)).items())
            if record.is_watched or record.is_unfinished or record.is_to_go_back
        }
