"""The findings behind a verdict: whether one is suppressed, and the service's note on them.

Both versions of Security Hub are supported: the older (ASFF) and V2 (OCSF, operations that end in V2). A note never
resolves, reopens or suppresses a finding; that is left to Security Hub and to people.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from aws_lambda_powertools import Logger
    from mypy_boto3_securityhub import SecurityHubClient

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding

UPDATED_BY = "imdsv2-remediation"
NOTE_LENGTH = 512

_IDS_A_LOOK = 20
"""Maximum number of values per filter of GetFindings (Security Hub API reference)."""
_FINDINGS_A_PAGE = 100
_FINDINGS_AN_UPDATE = 100
_NOT_ENABLED = {"InvalidAccessException", "ResourceNotFoundException"}
_INVALID = {"InvalidInputException", "ValidationException"}
_WILL_NOT = {"FindingNotFound", "InvalidInput", "ResourceNotFoundException", "ValidationException"}
"""Error codes of single findings: another call would be answered in the same way."""
_Item = TypeVar("_Item")

_V2_NEW, _V2_IN_PROGRESS, _V2_SUPPRESSED = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A finding as Security Hub shows it now."""

    is_new: bool
    is_suppressed: bool
    note: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """What became of notes. ``done``: findings that have theirs. ``refused``: those of which Security Hub will not have one."""

    done: set[Finding] = field(default_factory=set)
    refused: set[Finding] = field(default_factory=set)


class SecurityHub:
    """Security Hub in the home Region, which aggregates the findings of all accounts and linked Regions."""

    def __init__(self, client: SecurityHubClient, logger: Logger) -> None:
        self._client = client
        self._logger = logger

    def suppressed(self, findings: Mapping[InstanceArn, Iterable[Finding]]) -> dict[InstanceArn, str]:
        """Instances with a suppressed finding, or whose findings cannot be read, each with an explanation."""
        try:
            seen = self._look(each for several in findings.values() for each in several)
        except CALL_FAILURES as error:
            why = f"Whether somebody has suppressed its finding cannot be read ({describe_error(error)}); it is asked again."
            return {arn: why for arn, several in findings.items() if any(True for _ in several)}
        return {
            arn: f"Somebody has suppressed its finding {each.id}; set that back to NEW or NOTIFIED to have it remediated."
            for arn, several in findings.items()
            for each in several
            if each.id in seen and seen[each.id].is_suppressed
        }

    def annotate(self, texts: Mapping[Finding, str], accounts: Mapping[Finding, str], *, workflow: bool) -> Annotated:
        """Write each finding's note; if ``workflow``, also change the status NEW to NOTIFIED.

        Findings with the same text share their calls. Never raises. Failures are logged; those that are neither done nor
        refused may succeed later.
        """
        notes = {
            each: text if len(text) <= NOTE_LENGTH else text[: NOTE_LENGTH - 3] + "..." for each, text in texts.items()
        }
        old = {each: note for each, note in notes.items() if not each.is_v2}
        new = {each: note for each, note in notes.items() if each.is_v2}
        annotated = Annotated()
        for notes in (old, new):
            self._annotate_in_one_hub(notes, accounts, annotated, workflow=workflow)
        return annotated

    def _annotate_in_one_hub(
        self, notes: Mapping[Finding, str], accounts: Mapping[Finding, str], annotated: Annotated, *, workflow: bool
    ) -> None:
        try:
            seen = self._look(notes)
        except CALL_FAILURES as error:
            problem = {"problem": describe_error(error), "findings": len(notes)}
            self._logger.warning("findings not annotated", extra=problem)
            return
        annotated.done.update({each for each, note in notes.items() if each.id in seen and seen[each.id].note == note})
        due: dict[tuple[str, bool], list[Finding]] = defaultdict(list)
        for each, note in notes.items():
            if each not in annotated.done:
                due[note, workflow and each.id in seen and seen[each.id].is_new].append(each)
        for (note, new), chosen in sorted(due.items(), key=lambda item: item[0][1]):
            for batch in _batches(chosen, _FINDINGS_AN_UPDATE):
                if not self._update(batch, accounts, note, annotated, new=new):
                    return  # Each further call would wait as long.

    def _look(self, findings: Iterable[Finding]) -> dict[str, Seen]:
        wanted = {each.id: each.is_v2 for each in findings}
        old = [finding_id for finding_id, is_v2 in wanted.items() if not is_v2]
        new = [finding_id for finding_id, is_v2 in wanted.items() if is_v2]
        return self._look_in(old, self._look_v1) | self._look_in(new, self._look_v2)

    def _look_in(
        self, ids: Sequence[str], look: Callable[[Sequence[str]], Iterator[tuple[str, Seen]]]
    ) -> dict[str, Seen]:
        seen: dict[str, Seen] = {}
        try:
            for batch in _batches(ids, _IDS_A_LOOK):
                seen |= look(batch)
        except ClientError as error:
            if error_code(error) not in _NOT_ENABLED:
                raise
            self._logger.info("Security Hub is not enabled here", extra={"problem": describe_error(error)})
        return seen

    def _look_v1(self, ids: Sequence[str]) -> Iterator[tuple[str, Seen]]:
        request: dict[str, Any] = {
            "Filters": {"Id": [{"Value": each, "Comparison": "EQUALS"} for each in ids]},
            "MaxResults": _FINDINGS_A_PAGE,
        }
        for each in _pages(self._client.get_findings, request):
            status = each.get("Workflow", {}).get("Status")
            note = each.get("Note", {}).get("Text")
            yield each["Id"], Seen(is_new=status == "NEW", is_suppressed=status == "SUPPRESSED", note=note)

    def _look_v2(self, ids: Sequence[str]) -> Iterator[tuple[str, Seen]]:
        by_id = [{"FieldName": "finding_info.uid", "Filter": {"Value": each, "Comparison": "EQUALS"}} for each in ids]
        request: dict[str, Any] = {
            "Filters": {"CompositeFilters": [{"StringFilters": by_id, "Operator": "OR"}]},
            "MaxResults": _FINDINGS_A_PAGE,
        }
        for each in _pages(self._client.get_findings_v2, request):
            status = each.get("status_id")
            yield (
                each["finding_info"]["uid"],
                Seen(is_new=status == _V2_NEW, is_suppressed=status == _V2_SUPPRESSED, note=each.get("comment")),
            )

    def _update(
        self,
        batch: Sequence[Finding],
        accounts: Mapping[Finding, str],
        note: str,
        annotated: Annotated,
        *,
        new: bool,
    ) -> bool:
        """Write one note. Returns whether Security Hub has answered."""
        try:
            if batch[0].is_v2:
                refused = self._update_v2(batch, accounts, note, new=new)
            else:
                refused = self._update_v1(batch, note, new=new)
        except CALL_FAILURES as error:
            if error_code(error) in _INVALID and len(batch) > 1:
                # One finding has made the call invalid for all.
                halves = _batches(batch, -(-len(batch) // 2))
                return all(self._update(half, accounts, note, annotated, new=new) for half in halves)
            problem = {"problem": describe_error(error), "findings": [each.id for each in batch]}
            self._logger.warning("findings not annotated", extra=problem)
            if error_code(error) in _NOT_ENABLED | _INVALID:
                annotated.refused.update(batch)
            return isinstance(error, ClientError)
        for finding_id, code in refused.items():
            self._logger.warning("finding not annotated", extra={"finding": finding_id, "problem": code})
        annotated.done.update(each for each in batch if each.id not in refused)
        annotated.refused.update(each for each in batch if refused.get(each.id) in _WILL_NOT)
        return True

    def _update_v1(self, batch: Sequence[Finding], note: str, *, new: bool) -> dict[str, str]:
        workflow: Any = {"Workflow": {"Status": "NOTIFIED"}} if new else {}
        answer = self._client.batch_update_findings(
            FindingIdentifiers=[{"Id": each.id, "ProductArn": each.product_arn} for each in batch],
            Note={"Text": note, "UpdatedBy": UPDATED_BY},
            **workflow,
        )
        return {each["FindingIdentifier"]["Id"]: each["ErrorCode"] for each in answer["UnprocessedFindings"]}

    def _update_v2(
        self, batch: Sequence[Finding], accounts: Mapping[Finding, str], note: str, *, new: bool
    ) -> dict[str, str]:
        status: Any = {"StatusId": _V2_IN_PROGRESS} if new else {}
        answer = self._client.batch_update_findings_v2(
            FindingIdentifiers=[
                {"CloudAccountUid": accounts[each], "FindingInfoUid": each.id, "MetadataProductUid": each.product_arn}
                for each in batch
            ],
            Comment=note,
            **status,
        )
        return {
            each.get("FindingIdentifier", {}).get("FindingInfoUid", ""): each.get("ErrorCode", "unprocessed")
            for each in answer["UnprocessedFindings"]
        }


def _pages(operation: Callable[..., Any], request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    while True:
        page = operation(**request)
        yield from page["Findings"]
        if not page.get("NextToken"):
            return
        request = {**request, "NextToken": page["NextToken"]}


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
