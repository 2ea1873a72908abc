"""What prevents a rollback, known in advance or from EC2's refusal, as a sentence that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.aws.errors import error_code, error_message
from imdsv2.aws.refusals import Cause, cause_of
from imdsv2.domain.documents import options_document
from imdsv2.domain.instance import ENFORCED_TAG, Instance, Missing, Unreachable
from imdsv2.domain.lifecycle import Status
from imdsv2.ledger.items import to_text

if TYPE_CHECKING:
    from imdsv2.domain.instance import Target
    from imdsv2.ledger.record import Record

GONE = "The instance has gone."

_OURS_TO_UNDO = frozenset({Status.ENFORCED, Status.VERIFIED, Status.ROLLING_BACK})


def obstacle(record: Record, target: Target) -> str | None:
    """Why the instance must not be rolled back; None if it is still as the service left it."""
    match target:
        case Missing() | Instance(state="terminated" | "shutting-down"):
            return GONE
        case Unreachable():
            return target.problem
    if record.status == Status.ROLLING_BACK and target.options.http_tokens == "optional":
        return None  # The run that was rolling it back crashed after EC2 had made the change.
    if record.status not in _OURS_TO_UNDO:
        return "The service has no enforcement of its own to take back here."
    if not record.confirmed:
        return (
            "It is not certain that the service made the change: it found tokens required when it came back to an enforcement that "
            "had been interrupted. Put it back by hand if it was not meant."
        )
    left = {**(record.after or {}), "HttpTokens": "required"}
    now_there = options_document(target.options) or {}
    changed = sorted(name for name, value in left.items() if now_there.get(name) != value)
    if changed:
        return (
            f"Somebody has changed {', '.join(changed)} since, so the options are no longer what the service left; it does not touch "
            "what others have changed. Put it back by hand if that is wanted."
        )
    if ENFORCED_TAG not in target.tags:
        enforced_at = to_text(record.enforced_at) if record.enforced_at else "any time"
        return (
            f"Its tag {ENFORCED_TAG} is gone, without which the service may not set tokens to optional. Put it back by hand, or "
            f"set the tag again to {enforced_at}."
        )
    return None


def explain_refusal(error: Exception) -> tuple[str, str]:
    """EC2's refusal of a rollback as a sentence that says what a person can do; and the same without EC2's own words, in which
    sessions and requests have names that differ each time: people are told once of each kind."""
    cause, code = cause_of(error), error_code(error)
    return _refusal(cause, f"({code}: {error_message(error)})"), _refusal(cause, f"({code})")


def _refusal(cause: Cause | None, said: str) -> str:
    match cause:
        case Cause.TOKENS_ENFORCED:
            return (
                f"The account's setting HttpTokensEnforced forbids going back {said}. Set it to disabled for as long "
                "(ModifyInstanceMetadataDefaults) and put the instance back by hand, or update its software."
            )
        case Cause.DECLARATIVE_POLICY:
            return f"A declarative policy or another service forbids going back {said}. Change it there, or update the software."
        case Cause.SERVICE_CONTROL_POLICY | Cause.RESOURCE_CONTROL_POLICY:
            return f"{cause.capitalize()} forbids going back {said}. Change it, or update the software."
        case Cause.PERMISSIONS_BOUNDARY:
            return (
                f"The permissions boundary of the account's rollback role forbids going back {said}. Have that policy allow all that the "
                "role does (docs/reference/permissions.md), and put the instance back by hand until then, or update its software."
            )
        case Cause.PERMISSIONS:
            return f"The account's rollback role cannot be used or may not do it {said}. Deploy the member roles again."
        case _:
            return f"EC2 refused to go back {said}. Put it back by hand, or update the software."
