"""Finds out which ids of a failed call make it fail: asks again for fewer of them, in a bounded number of calls."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import KEYS_REFUSED, error_code, is_throttling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NO_SUCH_INSTANCE = {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}
_SERVER_ERRORS = {"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"}

_EXTRA_CALLS = 128
_PROBES = 6
_EVERYWHERE = 16
_CALLS_AT_ONCE = 8
"""A call that fails with a server error takes seconds, because the SDK repeats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """EC2's answer about some ids: what it shows, and the error for each that could not be read. Unknown ids are in neither."""

    seen: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)

    @property
    def may_be_of_some_ids(self) -> bool:
        """Whether a few of the ids may have made the call fail for all of them: one that names an instance in an Availability
        Zone with a disruption fails as a whole (EC2 API reference, DescribeInstances)."""
        return len(self.failed) > 1 and all(map(_is_of_ids, self.failed.values()))


def isolate(ask: Callable[[Sequence[str]], Answer], whole: Answer) -> Answer:
    """Ask again for what failed in ``whole``, for fewer ids at a time, so that only ids that EC2 cannot show stay failed.

    Halves find a single id among many. Where neither half can be read, six ids are asked for singly: if none can be read, the
    Region is down, and that is all; if some can, the failing ones are many, and all are asked for singly. So they are where chance has
    chosen six that can be read, and none of sixteen pieces can. At most 128 calls.
    """
    parts = _Parts(ask, whole)
    larger = parts.ask(_halves([list(whole.failed)]))
    if larger and not parts.can_be_read:
        probes = random.sample(list(parts.failed), min(_PROBES, len(parts.failed)))
        parts.ask([[each] for each in probes])
        if not parts.can_be_read:
            larger = []
        elif parts.failed.keys() & {*probes}:
            larger = []
            parts.ask([[each] for each in parts.failed if each not in probes])
    while larger:
        halves = _halves(larger)
        larger = parts.ask(halves)
        if len(larger) == len(halves) >= _EVERYWHERE:
            larger = []
            parts.ask([[each] for each in parts.failed])
    return Answer(seen=parts.seen, failed=parts.failed)


class _Parts:
    """What is known so far. ``can_be_read``: whether EC2 has answered for any piece."""

    def __init__(self, ask: Callable[[Sequence[str]], Answer], whole: Answer) -> None:
        self.seen, self.failed = dict(whole.seen), dict(whole.failed)
        self.can_be_read = False
        self._ask = ask
        self._left = _EXTRA_CALLS

    def ask(self, pieces: Sequence[Sequence[str]]) -> list[list[str]]:
        """Ask for each piece. Returns those that are worth another division."""
        if len(pieces) > self._left:
            # By chance, so that it is not the same ones each time that are not asked for.
            pieces = random.sample(pieces, self._left)
        self._left -= len(pieces)
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            answers = list(pool.map(self._ask, pieces))
        for piece, answer in zip(pieces, answers, strict=True):
            self.seen |= answer.seen
            self.failed = {each: error for each, error in self.failed.items() if each not in piece} | answer.failed
        self.can_be_read |= any(not answer.failed for answer in answers)
        return [list(answer.failed) for answer in answers if answer.may_be_of_some_ids]


def _is_of_ids(error: Exception) -> bool:
    """Not throttling, a refusal of the caller, or no answer: further calls would meet those as well."""
    if not isinstance(error, ClientError) or is_throttling(error) or error_code(error) in KEYS_REFUSED:
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or error_code(error) in NO_SUCH_INSTANCE | _SERVER_ERRORS


def _halves(pieces: Iterable[Sequence[str]]) -> list[Sequence[str]]:
    return [half for each in pieces for half in (each[: len(each) // 2], each[len(each) // 2 :]) if half]
