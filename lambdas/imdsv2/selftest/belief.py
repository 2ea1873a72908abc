"""The form of a belief: something that the code takes for granted about AWS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Seen


class Source(StrEnum):
    """Where a belief comes from."""

    DOCUMENTATION = "documentation"
    MODEL = "service model"
    RECORDED = "recorded traffic"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Witness:
    """Who says so. ``where``: a URL, an operation of botocore's models, or a repository with its folder."""

    source: Source
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """One belief.

    Args:
        id: its name in results.
        statement: the belief, in one sentence.
        witness: who says so.
        check: the function that proves or disproves it from what was seen.
        if_wrong: what the service does then.
        for_safety: whether the service could break software, or miss that it broke, if the belief is wrong.
    """

    id: str
    statement: str
    witness: Witness
    check: Callable[[Seen], Result]
    if_wrong: str
    for_safety: bool = False
