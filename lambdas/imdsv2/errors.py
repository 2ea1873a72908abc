"""All exceptions of the service. Each message says what is wrong and what a person can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsv2.domain.instance import Place


class RemediationError(Exception):
    """Base class of the service's exceptions."""


class SettingMissing(RemediationError):
    """A setting is missing from the environment or unusable: the stack was not deployed by this app."""

    def __init__(self, name: str) -> None:
        super().__init__(f"environment variable {name} is missing or unusable: deploy the function with `cdk deploy`")


class FieldRefused(RemediationError):
    """An input field has no usable value.

    Args:
        field: the path of the field, e.g. ``detail.findings[0].Resources[0].Id``.
        problem: what is wrong and what the field accepts; it follows the field's name in the message.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class MessagePoisoned(FieldRefused):
    """A queue message does not match the schema of its event type; no retry can fix it."""


class PolicyRefused(FieldRefused):
    """The policy document has an unknown field, a wrong type or an invalid value."""


class InvalidRequest(FieldRefused):
    """A manual invoke violates the request format."""

    code = "InvalidRequest"


class TargetRefused(FieldRefused):
    """A target of a manual invoke is not a valid EC2 instance; the other targets are processed."""

    code = "InvalidTarget"


class IllegalMove(RemediationError):
    """An invalid status transition: a defect in the service, detected before the write."""

    def __init__(self, before: str | None, after: str) -> None:
        super().__init__(f"status {after} may not follow {before or 'none'}; nothing was written")


class LedgerContended(RemediationError):
    """Conflicts with other writers, or unprocessed reads, persisted despite retries; the message is retried later."""


class NotGuarded(RemediationError):
    """The guard failed in some places (account and Region); the next pass retries."""

    def __init__(self, places: int) -> None:
        super().__init__(f"{places} of the places that the guard looks after failed; the log says which and why")


class NothingSeen(RemediationError):
    """A sweep could look at no account and Region at all: it must not end as if all were well."""

    def __init__(self, bucket: str, key: str) -> None:
        super().__init__(
            f"no account and Region could be looked at; s3://{bucket}/{key} has the reason for each. Deploy the member roles "
            "there, or correct the accounts and Regions of the sweep; then start it again"
        )


class QuotaExhausted(RemediationError):
    """A call was not sent: it would have to wait for AWS's quota longer than this invocation may.

    Args:
        operation: AWS's name of the call.
        place: account and Region.
        ready_in: seconds until the quota has room for the call.
    """

    def __init__(self, operation: str, place: Place, ready_in: float, problem: str | None = None) -> None:
        super().__init__(
            problem
            or f"account {place.account}, {place.region} has no room for another {operation} in the next {ready_in:.0f} s, "
            "longer than this run may wait; it is done by itself, and sooner if AWS raises the quota"
        )
        self.ready_in = ready_in


class TimeExhausted(QuotaExhausted):
    """A call was not sent: this invocation would not have had the time to record what came of it."""

    def __init__(self, operation: str, place: Place) -> None:
        super().__init__(
            operation,
            place,
            60.0,
            f"no time was left in this run for another {operation}; the next run does it by itself",
        )
