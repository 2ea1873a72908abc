"""What can happen to a call on its way to AWS and back, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the proxy does. "After": AWS has done what was asked, and the client does not get to know."""

    RESET_BEFORE = "reset before"
    RESET_AFTER = "reset after"
    CUT = "cut"
    """The answer ends in the middle of its body, with fewer bytes than its Content-Length says."""
    NEVER = "never"
    """AWS does what was asked; its answer does not come until the client gives up."""
    STALLED = "stalled"
    """Half of the answer comes, and then nothing until the client gives up."""
    TRICKLE = "trickle"
    """The answer comes whole, in small pieces over some seconds."""
    HUNG_UP = "hung up"
    """The answer comes, and the connection that the client keeps is closed when it sends its next request on it."""
    GATEWAY_BEFORE = "gateway before"
    """Something on the way answers with 502 and a page in HTML, and AWS gets nothing."""
    GATEWAY_AFTER = "gateway after"
    ENCODING = "encoding"
    """The answer says that it is compressed, and is not."""


UNTIL_TIMEOUT = {Kind.NEVER, Kind.STALLED}
"""Take as long as the client waits: 30 seconds, as deployed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which calls meet what: the ``nth`` of an operation, counted from 1, and so many ``times`` from there on.

    Retries count as calls. ``operation``: as IAM writes actions, ``service:Operation``.
    """

    operation: str
    kind: Kind
    nth: int = 1
    times: int = 1

    def meets(self, number: int) -> bool:
        """Whether the call with this number meets the fault."""
        return self.nth <= number < self.nth + self.times
