"""Where a judge is known to be wrong, by the check, with the witness: AWS's own documentation, or AWS as it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_EC2 = "https://docs.aws.amazon.com/AWSEC2/latest/APIReference"
_METRICS = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference"
_HUB = "https://docs.aws.amazon.com/securityhub/1.0/APIReference"
_ERRORS = "https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html"


@dataclass(frozen=True, slots=True)
class Deviation:
    """What a judge does otherwise than AWS, and where it is written what AWS does."""

    does: str
    witness: str
    documented: Any = None
    """The right answer, where no other judge gives it."""


MOTO = {
    # --- EC2 ---
    "ec2 a malformed id": Deviation(
        "answers InvalidInstanceID.NotFound",
        f"{_ERRORS}: InvalidInstanceID.Malformed is of an id that is not i- and 8 or 17 digits",
    ),
    "ec2 several unknown ids": Deviation(
        "names one of them", "https://github.com/getmoto/moto/issues/4903 has the words of EC2, which name all"
    ),
    "ec2 what runs and allows imdsv1": Deviation(
        "does not know the filter", f"{_EC2}/API_DescribeInstances.html: metadata-options.http-tokens"
    ),
    "ec2 a start moves the launch time alone": Deviation(
        "leaves LaunchTime where it was", f"{_EC2}/API_Instance.html: launchTime is when the instance was last launched"
    ),
    "ec2 a terminated instance has no network interface": Deviation(
        "shows it attached",
        f"{_EC2}/API_InstanceNetworkInterfaceAttachment.html: deleteOnTermination, which holds for one made by the launch",
    ),
    "changes options that are not sent stay": Deviation(
        "forgets them",
        f"{_EC2}/API_ModifyInstanceMetadataOptions.html: without a parameter the existing state is maintained",
    ),
    "changes a change is answered as pending": Deviation(
        "answers applied, without the other options",
        f"{_EC2}/API_ModifyInstanceMetadataOptions.html: the API responds with a state of pending",
    ),
    "changes a change of a stopped instance waits for its start": Deviation(
        "applies it at once",
        f"{_EC2}/API_ModifyInstanceMetadataOptions.html: on a stopped instance, applied when it is started",
    ),
    "changes tokens alone at a closed endpoint": Deviation(
        "takes them",
        "the words that CloudTrail has recorded of EC2: to specify HttpTokens, set HttpEndpoint to enabled",
    ),
    "changes a dry run": Deviation(
        "makes the change",
        f"{_EC2}/API_ModifyInstanceMetadataOptions.html: DryRun makes no request and answers DryRunOperation",
    ),
    "changes a hop limit out of range": Deviation(
        "takes it", f"{_EC2}/API_ModifyInstanceMetadataOptions.html: possible values are integers from 1 to 64"
    ),
    "changes a change of a terminated instance": Deviation(
        "makes it", f"{_EC2}/API_ModifyInstanceMetadataOptions.html: on a running or stopped instance"
    ),
    "changes tags of aws do not count": Deviation(
        "counts them",
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html: tags with the aws: prefix do not count",
    ),
    "changes tagging an unknown instance": Deviation(
        "keeps tags of nothing",
        "https://github.com/ansible/ansible/issues/46955 has the answer of EC2, InvalidInstanceID.NotFound",
    ),
    # --- CloudWatch ---
    "cloudwatch a start is rounded down by its age": Deviation(
        "takes it as it is", f"{_METRICS}/API_GetMetricData.html: StartTime, rounded to 1, 5 or 60 minutes"
    ),
    "cloudwatch pages of datapoints": Deviation(
        "answers all at once", f"{_METRICS}/API_GetMetricData.html: MaxDatapoints"
    ),
    "cloudwatch a token that is none": Deviation("ignores it", f"{_METRICS}/API_GetMetricData.html: InvalidNextToken"),
    "cloudwatch incomplete results": Deviation(
        "is always Complete", f"{_METRICS}/API_MetricDataResult.html: StatusCode"
    ),
    "cloudwatch too many queries": Deviation(
        "answers them", f"{_METRICS}/API_GetMetricData.html: as many as 500 metrics in a request"
    ),
    "cloudwatch queries of one id": Deviation(
        "answers them", f"{_METRICS}/API_MetricDataQuery.html: Id must be unique within a call"
    ),
    "cloudwatch an id in capitals": Deviation(
        "takes it", f"{_METRICS}/API_MetricDataQuery.html: Id begins with a lowercase letter"
    ),
    "cloudwatch an odd period": Deviation("takes it", f"{_METRICS}/API_MetricStat.html: Period is a multiple of 60"),
    "cloudwatch datapoints older than the memory": Deviation(
        "takes them", f"{_METRICS}/API_PutMetricData.html: at most two weeks before the current date"
    ),
    "cloudwatch instances without recent datapoints": Deviation(
        "lists them", f"{_METRICS}/API_ListMetrics.html: RecentlyActive"
    ),
    "cloudwatch another time than three hours": Deviation(
        "takes it", f"{_METRICS}/API_ListMetrics.html: PT3H is the only valid value of RecentlyActive"
    ),
    # --- Security Hub ---
    "security_hub findings by several ids": Deviation("ignores Filters", f"{_HUB}/API_GetFindings.html: Filters"),
    "security_hub more ids than a filter takes": Deviation(
        "takes them", f"{_HUB}/API_GetFindings.html: up to 20 values for each attribute"
    ),
    **{
        f"security_hub {name}": Deviation("has no such operation", f"{_HUB}/API_BatchUpdateFindings.html")
        for name in (
            "a note and the workflow status",
            "a note that is too long",
            "a suppressed finding",
            "an update leaves the time of the finding",
            "findings that cannot be updated",
            "more findings than an update takes",
        )
    },
    **{
        f"security_hub {name}": Deviation("has no such operation", f"{_HUB}/API_BatchUpdateFindingsV2.html")
        for name in (
            "a comment and the status in the newer hub",
            "a comment that is too long",
            "findings of the newer hub that cannot be updated",
            "more findings than an update of the newer hub takes",
            "more ids than a filter of the newer hub takes",
        )
    },
    # --- Systems Manager ---
    "edge change calendars": Deviation(
        "has none",
        "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateDocument.html: DocumentType ChangeCalendar",
    ),
}

LOCAL = {
    "security_hub more ids than a filter of the newer hub takes": Deviation(
        "takes them",
        f"{_HUB}/API_GetFindingsV2.html: up to 20 filters for each type inside of a composite filter",
        documented=["ValidationException", 400],
    ),
    "security_hub more findings than an update of the newer hub takes": Deviation(
        "answers InvalidInputException",
        f"{_HUB}/API_BatchUpdateFindingsV2.html: at most 100 items, and ValidationException among the errors",
        documented=["ValidationException", 400],
    ),
}

STRICTER = {
    "cloudwatch periods that are no longer kept": (
        "CloudWatch answers them without datapoints, which no judgement may rest on, so the world refuses whoever asks"
    ),
}
"""Where the world refuses on purpose what AWS answers."""
