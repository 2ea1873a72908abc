"""Security Hub in memory, the older (ASFF) and the newer (OCSF, operations that end in V2): findings and our notes on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mypy_boto3_securityhub import SecurityHubClient

Answer = dict[str, Any]

IDS_A_FILTER = 20
FINDINGS_AN_UPDATE = 100
NOTE_LENGTH = 512


class Findings:
    """The findings of both hubs, by id, which is the same in both, with what was written on them."""

    def __init__(self) -> None:
        self.findings: dict[str, dict[str, Any]] = {}
        """`workflow`, `product` and `asff` of one that came as ASFF, `status_id` and `v2` of one that came as OCSF; our `note` on the
        former, our `comment` on the latter."""

    @property
    def client(self) -> SecurityHubClient:
        """The same, as the code under test knows it."""
        return cast("SecurityHubClient", self)

    def holds(self, *findings: dict[str, Any], workflow: str | None = None) -> None:
        """Take findings in as they were sent, ASFF or OCSF."""
        for finding in findings:
            if "finding_info" in finding:
                here = self.findings.setdefault(finding["finding_info"]["uid"], {})
                here.pop("comment", None)
                here.update({"status_id": finding["status_id"], "v2": finding})
            else:
                status = workflow or finding["Workflow"]["Status"]
                here = self.findings.setdefault(finding["Id"], {})
                here.pop("note", None)
                here.update({"workflow": status, "product": finding["ProductArn"], "asff": finding})

    def note_on(self, finding: dict[str, Any]) -> str | None:
        """Our note on a finding, if there is one."""
        note: str | None = self.findings[finding["Id"]].get("note")
        return note

    def comment_on(self, finding: dict[str, Any]) -> str | None:
        """Our comment on a finding of the newer hub, if there is one."""
        comment: str | None = self.findings[finding["finding_info"]["uid"]].get("comment")
        return comment

    def workflow_of(self, finding: dict[str, Any]) -> str:
        """The workflow status of a finding."""
        return str(self.findings[finding["Id"]]["workflow"])

    def get_findings(self, *, Filters: dict[str, Any], MaxResults: int) -> Answer:  # noqa: N803 - AWS's names
        """`GetFindings` by ids, on one page, or those of a control that are suppressed."""
        if "Id" not in Filters:
            asked = {name: value for name, [value] in Filters.items()}
            assert asked.keys() == {"ComplianceSecurityControlId", "WorkflowStatus", "RecordState"}
            return {"Findings": [self._asff(each) for each in self.findings if self._is_suppressed(each, asked)]}
        wanted = [each["Value"] for each in Filters["Id"]]
        if len(wanted) > min(IDS_A_FILTER, MaxResults):
            raise refusal("InvalidInputException", "at most 20 values a filter", "GetFindings")
        return {"Findings": [self._asff(each) for each in wanted if self._is(each, "workflow")]}

    def batch_update_findings(
        self,
        *,
        FindingIdentifiers: Sequence[dict[str, str]],  # noqa: N803
        Note: dict[str, str],  # noqa: N803
        Workflow: dict[str, str] | None = None,  # noqa: N803
    ) -> Answer:
        """`BatchUpdateFindings` of the note and the workflow status."""
        if not 1 <= len(FindingIdentifiers) <= FINDINGS_AN_UPDATE or len(Note["Text"]) > NOTE_LENGTH:
            raise refusal("InvalidInputException", "1 to 100 findings, 512 characters a note", "BatchUpdateFindings")
        known: list[dict[str, str]] = []
        unprocessed: list[dict[str, Any]] = []
        for each in FindingIdentifiers:
            finding = self.findings.get(each["Id"], {})
            if "workflow" not in finding or finding["product"] != each["ProductArn"]:
                unprocessed.append(_unprocessed(each, "FindingNotFound"))
            elif each in known:
                unprocessed.append(_unprocessed(each, "DuplicatedFindingIdentifier"))
            else:
                finding |= {"note": Note["Text"]} | ({"workflow": Workflow["Status"]} if Workflow else {})
                known.append(each)
        return {"ProcessedFindings": known, "UnprocessedFindings": unprocessed}

    def get_findings_v2(self, *, Filters: dict[str, Any], MaxResults: int) -> Answer:  # noqa: N803
        """`GetFindingsV2` by ids, on one page, or those of a control that have a status."""
        (composite,) = Filters["CompositeFilters"]
        if "NumberFilters" in composite:
            return {"Findings": [*self._with_status(composite)]}
        wanted = [each["Filter"]["Value"] for each in composite["StringFilters"]]
        assert all(each["FieldName"] == "finding_info.uid" for each in composite["StringFilters"])
        assert composite["Operator"] == "OR"
        if len(wanted) > min(IDS_A_FILTER, MaxResults):
            raise refusal("ValidationException", "at most 20 filters of a type", "GetFindingsV2")
        known = [self.findings[each] for each in wanted if self._is(each, "v2")]
        return {"Findings": [{**each["v2"], "status_id": each["status_id"], **_comment(each)} for each in known]}

    def batch_update_findings_v2(
        self,
        *,
        FindingIdentifiers: Sequence[dict[str, str]],  # noqa: N803
        Comment: str,  # noqa: N803
        StatusId: int | None = None,  # noqa: N803
    ) -> Answer:
        """`BatchUpdateFindingsV2` of the comment and the status."""
        if not 1 <= len(FindingIdentifiers) <= FINDINGS_AN_UPDATE or not 1 <= len(Comment) <= NOTE_LENGTH:
            raise refusal("ValidationException", "1 to 100 findings, 1 to 512 characters", "BatchUpdateFindingsV2")
        known = [each for each in FindingIdentifiers if self._is_v2(each)]
        for each in known:
            written = {"comment": Comment} | ({"status_id": StatusId} if StatusId is not None else {})
            self.findings[each["FindingInfoUid"]].update(written)
        unknown = [each for each in FindingIdentifiers if each not in known]
        return {
            "ProcessedFindings": [{"FindingIdentifier": each} for each in known],
            "UnprocessedFindings": [_unprocessed(each, "ResourceNotFoundException") for each in unknown],
        }

    def operations(self) -> dict[str, Callable[..., Answer]]:
        """What it answers, by AWS's names of the operations."""
        return {
            "GetFindings": self.get_findings,
            "BatchUpdateFindings": self.batch_update_findings,
            "GetFindingsV2": self.get_findings_v2,
            "BatchUpdateFindingsV2": self.batch_update_findings_v2,
        }

    def _is_suppressed(self, finding_id: str, asked: dict[str, dict[str, str]]) -> bool:
        """By the values of a finding for which the older hub is asked."""
        asff = self.findings[finding_id].get("asff")
        return asff is not None and (
            asff["Compliance"]["SecurityControlId"] == asked["ComplianceSecurityControlId"]["Value"]
            and self.findings[finding_id]["workflow"] == asked["WorkflowStatus"]["Value"]
            and asff["RecordState"] == asked["RecordState"]["Value"]
        )

    def _with_status(self, composite: dict[str, Any]) -> Iterator[dict[str, Any]]:
        ([control], [status]) = composite["StringFilters"], composite["NumberFilters"]
        assert ("compliance.control", "status_id", "AND") == (
            control["FieldName"],
            status["FieldName"],
            composite["Operator"],
        )
        for known in self.findings.values():
            found = {**known.get("v2", {}), "status_id": known.get("status_id"), **_comment(known)}
            if "v2" in known and (found["compliance"]["control"], found["status_id"]) == (
                control["Filter"]["Value"],
                status["Filter"]["Eq"],
            ):
                yield found

    def _is(self, finding_id: str, kind: str) -> bool:
        return kind in self.findings.get(finding_id, {})

    def _is_v2(self, identifier: dict[str, str]) -> bool:
        if not self._is(identifier["FindingInfoUid"], "v2"):
            return False
        finding = self.findings[identifier["FindingInfoUid"]]["v2"]
        return (finding["cloud"]["account"]["uid"], finding["metadata"]["product"]["uid"]) == (
            identifier["CloudAccountUid"],
            identifier["MetadataProductUid"],
        )

    def _asff(self, finding_id: str) -> dict[str, Any]:
        known = self.findings[finding_id]
        asff: dict[str, Any] = {
            "SchemaVersion": "2018-10-08",
            "Id": finding_id,
            "ProductArn": known["product"],
            "GeneratorId": "security-control/EC2.8",
            "AwsAccountId": "222222222222",
            "CreatedAt": "2026-10-01T06:00:00.000Z",
            "UpdatedAt": "2026-11-20T06:00:00.000Z",
            "Title": "EC2 instances should use IMDSv2",
            "Description": "Checks it.",
            "Resources": [{"Type": "AwsEc2Instance", "Id": "arn:..."}],
            **known.get("asff", {}),
            "Workflow": {"Status": known["workflow"]},
        }
        if "note" in known:
            by_us = {"UpdatedBy": "imdsv2-remediation", "UpdatedAt": "2026-11-20T06:00:00Z"}
            asff["Note"] = {"Text": known["note"], **by_us}
        return asff


def _comment(known: dict[str, Any]) -> dict[str, Any]:
    return {"comment": known["comment"]} if "comment" in known else {}


def _unprocessed(identifier: dict[str, str], code: str) -> dict[str, Any]:
    return {"FindingIdentifier": identifier, "ErrorCode": code, "ErrorMessage": code}
