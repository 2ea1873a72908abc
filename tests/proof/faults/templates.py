"""The launch template and the Auto Scaling group of the first account, where a path is about changing them."""

from __future__ import annotations

from typing import Any

from tests.world.refusal import refusal

Answer = dict[str, Any]

TEMPLATE, GROUP = "lt-00000000000000001", "web"
OPERATIONS = frozenset(
    {
        "CreateLaunchTemplateVersion",
        "DescribeAutoScalingGroups",
        "DescribeLaunchTemplates",
        "DescribeLaunchTemplateVersions",
        "ModifyLaunchTemplate",
        "UpdateAutoScalingGroup",
    }
)
_NAMED = {"LaunchTemplateId": TEMPLATE, "LaunchTemplateName": "web"}


class Templates:
    """A template with one version, to whose number the group is pinned; an override of the group follows the default."""

    def __init__(self) -> None:
        self.versions: list[Answer] = [{"VersionNumber": 1, "LaunchTemplateData": {"ImageId": "ami-1"}}]
        self.default = 1
        self.pinned, self.followed = "1", "$Default"
        self.tags: set[str] = set()
        self._made: dict[str, Answer] = {}

    def do(self, operation: str, asked: Answer) -> Answer:
        """Answer a call, or do what it asks for."""
        match operation:
            case "DescribeLaunchTemplates":
                return {"LaunchTemplates": [self._template()]}
            case "DescribeLaunchTemplateVersions":
                return {"LaunchTemplateVersions": [{**_NAMED, **each} for each in self.versions]}
            case "DescribeAutoScalingGroups":
                return {"AutoScalingGroups": [self._group()]}
            case "CreateLaunchTemplateVersion":
                return {"LaunchTemplateVersion": {**_NAMED, **self._make(asked)}}
            case "ModifyLaunchTemplate":
                self._refuse_unmarked(operation)
                self.default = int(asked["DefaultVersion"])
                return {"LaunchTemplate": self._template()}
        template = asked["MixedInstancesPolicy"]["LaunchTemplate"]
        self.pinned = template["LaunchTemplateSpecification"]["Version"]
        self.followed = template["Overrides"][0]["LaunchTemplateSpecification"]["Version"]
        return {}

    def tokens(self) -> list[str]:
        """What the next launches ask of callers: by number, by default, by the latest version."""
        numbers = [int(self.pinned), self.default, len(self.versions)]
        data = [self.versions[number - 1]["LaunchTemplateData"] for number in numbers]
        return [each.get("MetadataOptions", {}).get("HttpTokens", "optional") for each in data]

    def _make(self, asked: Answer) -> Answer:
        self._refuse_unmarked("CreateLaunchTemplateVersion")
        token = asked["ClientToken"]
        if token not in self._made:
            base = self.versions[int(asked["SourceVersion"]) - 1]["LaunchTemplateData"]
            self._made[token] = {
                "VersionNumber": len(self.versions) + 1,
                "VersionDescription": asked["VersionDescription"],
                "LaunchTemplateData": {**base, **asked["LaunchTemplateData"]},
            }
            self.versions.append(self._made[token])
        return self._made[token]

    def _refuse_unmarked(self, operation: str) -> None:
        if "imdsv2:fixed-at" not in self.tags:
            raise refusal("UnauthorizedOperation", "no such tag", operation, status=403)

    def _template(self) -> Answer:
        return {**_NAMED, "DefaultVersionNumber": self.default, "LatestVersionNumber": len(self.versions)}

    def _group(self) -> Answer:
        override = {"InstanceType": "m7g.large", "LaunchTemplateSpecification": {**_NAMED, "Version": self.followed}}
        named = {"LaunchTemplateSpecification": {**_NAMED, "Version": self.pinned}, "Overrides": [override]}
        sizes = {"MinSize": 0, "MaxSize": 3, "DesiredCapacity": 2}
        arn = f"arn:aws:autoscaling:eu-west-1:222222222222:autoScalingGroup:0:autoScalingGroupName/{GROUP}"
        return {
            "AutoScalingGroupName": GROUP,
            "AutoScalingGroupARN": arn,
            "MixedInstancesPolicy": {"LaunchTemplate": named},
            **sizes,
        }
