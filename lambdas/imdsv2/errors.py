"""Every failure the service knows by name. A message says what is wrong and what a person can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsv2.domain.instance import Place


class RemediationError(Exception):
    """The root of the service's own failures."""


class SettingMissing(RemediationError):
    """The function's environment lacks a setting: the stack was not deployed by this app."""

    def __init__(self, name: str) -> None:
        super().__init__(f"environment variable {name} is missing or unusable: deploy the function with `cdk deploy`")


class FieldRefused(RemediationError):
    """A field of some input has no usable value.

    Args:
        field: the path of the field, e.g. ``detail.findings[0].Resources[0].Id``.
        problem: what is wrong with it and what it takes, in words that follow the field's name.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class MessagePoisoned(FieldRefused):
    """A queue message whose schema is not that of an event we know; it can never be processed."""


class PolicyRefused(FieldRefused):
    """The policy document has an unknown field, a wrong type or an impossible value."""


class InvalidRequest(FieldRefused):
    """A manual invoke that is not what the contract says."""

    code = "InvalidRequest"


class TargetRefused(FieldRefused):
    """One target of a manual invoke that names no EC2 instance; the others go on."""

    code = "InvalidTarget"


class IllegalMove(RemediationError):
    """A status that may not follow the one an instance has: a defect of the service, stopped before it is written."""

    def __init__(self, before: str | None, after: str) -> None:
        super().__init__(f"status {after} may not follow {before or 'none'}; nothing was written")


class LedgerContended(RemediationError):
    """Others kept changing the same ledger items; the message is tried again later."""


class NotGuarded(RemediationError):
    """Some places could not be looked after; the next pass tries again."""

    def __init__(self, places: int) -> None:
        super().__init__(f"{places} of the places that the guard looks after failed; the log says which and why")


class QuotaExhausted(RemediationError):
    """A call would have to wait longer for AWS's quota than this invocation lasts. It was not sent.

    Args:
        operation: AWS's name of the call.
        ready_in: seconds until the quota has room for it.
    """

    def __init__(self, operation: str, place: Place, ready_in: float) -> None:
        super().__init__(
            f"account {place.account}, {place.region} has no room for another {operation} in the next {ready_in:.0f} s, "
            "longer than this run may wait; it is done by itself, and sooner if AWS raises the quota"
        )
        self.ready_in = ready_in
