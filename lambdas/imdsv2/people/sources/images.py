"""Has AMIs of an account's own require tokens, on a person's request only: EC2 knows no way back on that AMI."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_have_been_done
from imdsv2.aws.image_change import may_require_imdsv2, require_imdsv2
from imdsv2.aws.images import read_images
from imdsv2.aws.refusals import to_have_it_allowed
from imdsv2.domain.verdict_table.decision import decide_scope
from imdsv2.errors import InvalidRequest, QuotaExhausted
from imdsv2.ledger.trail import Author, Kind
from imdsv2.source.verdict import SourceVerdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Place
    from imdsv2.ledger.images import ImageEvents
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.line.sources.judging import Seen, SourceJudge
    from imdsv2.people.sources.image_request import ImageOrder
    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Image
    from imdsv2.source.verdict import Judged

_WARNING = (
    "ImdsSupport v2.0 cannot be undone on an AMI. What is launched from it requires tokens from then on, with hop limit 2, unless the "
    "launch or the account's default says otherwise; instances that run already stay as they are. The same is so in every account that the AMI "
    "is shared with, and the service looks at none of these: ask them first."
)

_UNTOLD = (
    "It requires tokens now, for good; but the ledger could not be written ({problem}), so the audit trail lacks the event image_required. "
    "CloudTrail has the call, ModifyImageAttribute: note it where you need it."
)
_UNSET, _V2 = {"ImdsSupport": "unset"}, {"ImdsSupport": "v2.0"}
"""An AMI before, which may be asked for only where it does not require tokens, and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Carries out the command. ``now``: the clock."""

    clients: MemberClients
    judge: SourceJudge
    events: ImageEvents
    policies: PolicySource
    now: Callable[[], datetime]

    def carry_out(self, order: ImageOrder, request_id: str) -> dict[str, Any]:
        """The answer: each AMI with the sources that use it and what became of it. Raises InvalidRequest for a place that is out of
        scope or cannot be read, ClientError if the ledger cannot be read."""
        place = order.place
        scoped = decide_scope(place, self.policies.current(self.now()).policy, self.now())
        if scoped is not None:
            raise InvalidRequest("images.account", scoped.explanation)
        try:
            known = read_images(self.clients.ec2(place, "read"), order.image_ids, place.account)
            seen = self.judge.look(place)
        except CALL_FAILURES as error:
            raise InvalidRequest(
                "images.account",
                f"cannot be read in {place.region} ({describe_error(error)}): deploy the member roles there, then ask again",
            ) from error
        results = [self._one(each, known, seen, order, request_id) for each in order.image_ids]
        return {
            "command": "images",
            "dry_run": order.dry_run,
            "count": len(results),
            "warning": _WARNING,
            "results": results,
        }

    def _one(
        self, image_id: str, known: Mapping[str, Image], seen: Seen, order: ImageOrder, request_id: str
    ) -> dict[str, Any]:
        image, users = known.get(image_id), _users(image_id, seen)
        problem = _hindered(image, users, order.place.account)
        permitted, done = None, False
        if problem is None and order.dry_run:
            try:
                permitted = may_require_imdsv2(self.clients.ec2_of_sources(order.place, "source"), image_id)
            except CALL_FAILURES as error:
                problem = _refused(error)
        elif problem is None:
            done, problem = self._require(image_id, order, request_id)
        return {
            "image": image_id,
            "name": (image.name or None) if image else None,
            "imds_support": "v2.0" if done or (image is not None and image.requires) else None,
            "used_by": [
                {"kind": source.origin.kind, "name": source.origin.name, "verdict": judged.verdict}
                for source, judged in users
            ],
            "would_be": "v2.0" if done or problem is None else None,
            "permitted": permitted,
            "done": done,
            "problem": problem,
        }

    def _require(self, image_id: str, order: ImageOrder, request_id: str) -> tuple[bool, str | None]:
        """Whether EC2 has done it, and what is to be said. The ledger has it before EC2 is asked, and the outcome after that."""
        by = Author(caller=order.caller, request_id=request_id, source="manual", because=order.reason)
        tell = partial(self.events.add, order.place, image_id, by=by, before=_UNSET)
        try:
            tell(Kind.IMAGE_REQUIRING, self.now(), after=_V2)
        except CALL_FAILURES as error:
            return False, f"The ledger cannot be written ({describe_error(error)}), so EC2 was not asked. Ask again."
        try:
            require_imdsv2(self.clients.ec2_of_sources(order.place, "source"), image_id)
        except CALL_FAILURES as error:
            problem = self._problem(error, order.place, image_id)
            if problem is not None:
                with suppress(*CALL_FAILURES):  # The person hears of it all the same.
                    tell(Kind.IMAGE_FAILED, self.now(), explanation=problem)
                return False, problem
        try:
            tell(Kind.IMAGE_REQUIRED, self.now(), after=_V2)
        except CALL_FAILURES as error:
            return True, _UNTOLD.format(problem=describe_error(error))
        return True, None

    def _problem(self, error: Exception, place: Place, image_id: str) -> str | None:
        """Why it was not done; None if EC2 has done it, and its answer was lost."""
        if isinstance(error, QuotaExhausted) or (isinstance(error, ClientError) and not may_have_been_done(error)):
            return _refused(error)
        with suppress(*CALL_FAILURES):
            image = read_images(self.clients.ec2(place, "read"), [image_id], place.account).get(image_id)
            if image is not None and image.requires:
                return None
        return (
            f"EC2 did not answer ({describe_error(error)}), and does not show that the AMI requires tokens, which it may do in a moment. "
            "Ask again: that shows what has become of it."
        )


def _refused(error: Exception) -> str:
    return f"EC2 refuses it ({describe_error(error)}); {to_have_it_allowed(error)}."


def _users(image_id: str, seen: Seen) -> list[tuple[Source, Judged]]:
    """The sources that use an AMI, each judged by its own instances: what shares its launch template, or the account's default, is not
    reached by a change of the AMI."""
    return [
        (source, judge(source, seen.words))
        for source in seen.sources
        if any(each.id == image_id for each in source.images)
    ]


def _hindered(image: Image | None, users: list[tuple[Source, Judged]], account: str) -> str | None:
    """Why an AMI is left as it is, and what to do; None if nothing speaks against it."""
    if image is None:
        return "EC2 does not show this AMI in that account and Region: check its id."
    if not image.own:
        return f"It does not belong to account {account}: ask its owner, or copy it and launch from the copy."
    if image.requires:
        return "Its ImdsSupport is v2.0 already."
    held = next(((source, judged) for source, judged in users if judged.verdict is SourceVerdict.HOLD), None)
    if held is not None:
        source, judged = held
        return f"It is used by {source.origin.kind} {source.origin.name}, which is held: {judged.explanation} Ask again when it is not."
    return None
