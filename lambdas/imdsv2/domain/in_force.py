"""The policy that verdicts follow now, and whether it may be relied on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imdsv2.domain.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyInForce:
    """The policy that verdicts follow. While ``problem`` is set, nothing is enforced.

    ``is_refused``: the parameter could be read and is no policy, until a person corrects it.
    """

    policy: Policy
    problem: str | None = None
    is_refused: bool = False
