"""Every failure the service knows by name. A message says what is wrong and what a person can do."""


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


class AccountUnreachable(RemediationError):
    """The role of a member account cannot be assumed."""


class LedgerContended(RemediationError):
    """Others kept changing the same ledger items; the message is tried again later."""
