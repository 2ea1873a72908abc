"""Findings as Security Hub shows them now, read in as few requests as its limits allow.

``GetFindings`` takes 20 ids, 3 times a second for the whole account and Region. Whoever asks while another request is under way
is answered together with all others who do: a run of many places makes few requests.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code, may_pass
from imdsv2.aws.pages import listed, pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aws_lambda_powertools import Logger
    from mypy_boto3_securityhub import SecurityHubClient

    from imdsv2.domain.request import Finding

NOT_ENABLED = {"InvalidAccessException", "ResourceNotFoundException"}
INVALID = {"InvalidInputException", "ValidationException"}

_IDS_A_LOOK = 20
"""Maximum number of values per filter of GetFindings (Security Hub API reference)."""
_FINDINGS_A_PAGE = 100
_V2_NEW, _V2_SUPPRESSED = 1, 3
_OFF_FOR_SECONDS = 900
"""A hub that is not enabled is not asked again for so long about findings that only the other one has told of."""

Key = tuple[bool, str]
"""Whether the newer hub has it, and its id: both hubs give the same finding the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finding as Security Hub shows it now."""

    is_new: bool
    is_suppressed: bool
    note: str | None

    def beside(self, other: Seen | None) -> Seen:
        """Both in one, where two products use the same id: a suppression counts, whichever of them has it."""
        if other is None:
            return self
        return Seen(
            is_new=self.is_new and other.is_new,
            is_suppressed=self.is_suppressed or other.is_suppressed,
            note=self.note if self.note == other.note else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a look at findings came to. ``unread``: those of which nothing is known, with the error. What is in neither is not
    there, or its hub is not enabled."""

    seen: dict[Key, Seen] = field(default_factory=dict)
    unread: dict[Key, Exception] = field(default_factory=dict)


def key_in_hub(finding: Finding) -> Key:
    """What identifies a finding in both hubs."""
    return finding.is_v2, finding.id


class Findings:
    """Reads findings of both hubs. Thread-safe."""

    def __init__(self, client: SecurityHubClient, logger: Logger) -> None:
        self._client = client
        self._logger = logger
        self._waiting: dict[bool, dict[str, Future[Seen | None]]] = {False: {}, True: {}}
        self._lock = Lock()
        self._asking = {False: Lock(), True: Lock()}
        self._off_until = {False: -inf, True: -inf}

    def is_off(self, *, is_v2: bool) -> bool:
        """Whether a hub has said within the last quarter of an hour that it is not enabled."""
        return monotonic() < self._off_until[is_v2]

    def look(self, keys: Iterable[Key]) -> Looked:
        """Read findings as they are at the time of this call or later. Never raises one of CALL_FAILURES."""
        keys = dict.fromkeys(keys)
        with self._lock:
            answers = {key: self._waiting[key[0]].setdefault(key[1], Future()) for key in keys}
        looked = Looked()
        for key, answer in answers.items():
            while not answer.done():
                with self._asking[key[0]]:
                    if not answer.done():
                        self._ask(is_v2=key[0])
            error = answer.exception()
            if isinstance(error, CALL_FAILURES):
                looked.unread[key] = error
            elif (seen := answer.result()) is not None:
                looked.seen[key] = seen
        return looked

    def suppressed(self, control: str, *, is_v2: bool) -> Iterator[dict[str, Any]]:
        """Every active finding of a control that somebody has suppressed, as the hub has it. None where the hub is not enabled, or is not
        to be had. Raises one of CALL_FAILURES where it cannot be asked now."""
        try:
            if is_v2:
                yield from _found(self._client.get_findings_v2, _suppressed_in_v2(control))
            else:
                yield from _found(self._client.get_findings, _suppressed_in_v1(control))
        except CALL_FAILURES as error:
            if may_pass(error):
                raise
            # No later try is answered otherwise, e.g. where AWS has no newer hub.
            self._logger.info(
                "suppressed findings not listed", extra={"problem": describe_error(error), "is_v2": is_v2}
            )

    def _ask(self, *, is_v2: bool) -> None:
        """Ask for those who have waited longest."""
        waiting = self._waiting[is_v2]
        with self._lock:
            asked = {each: waiting.pop(each) for each in list(islice(waiting, _IDS_A_LOOK))}
        try:
            seen = self._read(list(asked), is_v2=is_v2)
        except BaseException as error:  # Whatever it was, the others must not wait for ever.
            if not isinstance(error, Exception) or error_code(error) not in INVALID:
                with self._lock:  # Each further call would wait as long, or be refused as well.
                    asked |= waiting
                    waiting.clear()
            for answer in asked.values():
                answer.set_exception(error)
            if not isinstance(error, CALL_FAILURES):
                raise
            return
        for each, answer in asked.items():
            answer.set_result(seen.get(each))

    def _read(self, ids: Sequence[str], *, is_v2: bool) -> dict[str, Seen]:
        seen: dict[str, Seen] = {}
        try:
            for each, there in self._look_v2(ids) if is_v2 else self._look_v1(ids):
                seen[each] = there.beside(seen.get(each))
        except CALL_FAILURES as error:
            if error_code(error) not in NOT_ENABLED:
                raise
            self._off_until[is_v2] = monotonic() + _OFF_FOR_SECONDS
            self._logger.info("Security Hub is not enabled here", extra={"problem": describe_error(error)})
        return seen

    def _look_v1(self, ids: Sequence[str]) -> Iterator[tuple[str, Seen]]:
        request: dict[str, Any] = {
            "Filters": {"Id": [{"Value": each, "Comparison": "EQUALS"} for each in ids]},
            "MaxResults": _FINDINGS_A_PAGE,
        }
        for each in _found(self._client.get_findings, request):
            status = each.get("Workflow", {}).get("Status")
            note = each.get("Note", {}).get("Text")
            yield each["Id"], Seen(is_new=status == "NEW", is_suppressed=status == "SUPPRESSED", note=note)

    def _look_v2(self, ids: Sequence[str]) -> Iterator[tuple[str, Seen]]:
        by_id = [{"FieldName": "finding_info.uid", "Filter": {"Value": each, "Comparison": "EQUALS"}} for each in ids]
        request: dict[str, Any] = {
            "Filters": {"CompositeFilters": [{"StringFilters": by_id, "Operator": "OR"}]},
            "MaxResults": _FINDINGS_A_PAGE,
        }
        for each in _found(self._client.get_findings_v2, request):
            status = each.get("status_id")
            yield (
                each["finding_info"]["uid"],
                Seen(is_new=status == _V2_NEW, is_suppressed=status == _V2_SUPPRESSED, note=each.get("comment")),
            )


def _suppressed_in_v1(control: str) -> dict[str, Any]:
    wanted = {"ComplianceSecurityControlId": control, "WorkflowStatus": "SUPPRESSED", "RecordState": "ACTIVE"}
    filters = {name: [{"Value": value, "Comparison": "EQUALS"}] for name, value in wanted.items()}
    return {"Filters": filters, "MaxResults": _FINDINGS_A_PAGE}


def _suppressed_in_v2(control: str) -> dict[str, Any]:
    of_control = {"FieldName": "compliance.control", "Filter": {"Value": control, "Comparison": "EQUALS"}}
    suppressed = {"FieldName": "status_id", "Filter": {"Eq": _V2_SUPPRESSED}}
    composite = {"StringFilters": [of_control], "NumberFilters": [suppressed], "Operator": "AND"}
    return {"Filters": {"CompositeFilters": [composite]}, "MaxResults": _FINDINGS_A_PAGE}


def _found(operation: Callable[..., Any], request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for page in pages(operation, **request):
        yield from listed(page, "Findings")
