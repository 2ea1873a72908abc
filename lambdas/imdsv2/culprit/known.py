"""What is known of agents and SDKs: the first version that uses IMDSv2 of itself, each with its public source.

Only what has such a source stands here. Distributions may have put the change into an older version of their package: what fits is a
suspicion, no proof.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.culprit.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_AWS_SDKS = "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/use-a-supported-sdk-version-for-imdsv2.html"
_NUMBERS = re.compile(r"\d{1,9}")
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An agent or SDK.

    Args:
        name: as people know it.
        first_good: the first version that asks for a token of itself; None if there is none.
        agents: how it names itself in user agents, in lower case.
        packages: how an inventory of applications names it, in lower case.
        source: where that is said.
    """

    name: str
    first_good: str | None
    source: str
    agents: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """What to do, as a sentence."""
        if self.first_good is None:
            return f"{self.name} has no version that uses IMDSv2: replace it ({self.source})."
        return f"Update {self.name} to {self.first_good} or later ({self.source})."


SDKS: Sequence[Known] = (
    Known(
        name="the AWS CLI", first_good="1.16.289", source=_AWS_SDKS, agents=("aws-cli",), packages=("awscli", "aws-cli")
    ),
    Known(
        name="Boto3",
        first_good="1.12.6",
        source=_AWS_SDKS,
        agents=("boto3",),
        packages=("python-boto3", "python3-boto3", "python2-boto3"),
    ),
    Known(
        name="Botocore",
        first_good="1.13.25",
        source=_AWS_SDKS,
        agents=("botocore",),
        packages=("python-botocore", "python3-botocore", "python2-botocore"),
    ),
    Known(
        name="the AWS Tools for PowerShell",
        first_good="4.0.1.0",
        source=_AWS_SDKS,
        agents=("awspowershell", "awspowershell.netcore", "awspowershell.common"),
        packages=("aws tools for windows",),
    ),
    Known(name="the AWS SDK for C++", first_good="1.7.229", source=_AWS_SDKS, agents=("aws-sdk-cpp",)),
    Known(name="the AWS SDK for Go v2", first_good="0.19.0", source=_AWS_SDKS, agents=("aws-sdk-go-v2",)),
    Known(name="the AWS SDK for Go", first_good="1.25.38", source=_AWS_SDKS, agents=("aws-sdk-go",)),
    Known(name="the AWS SDK for JavaScript", first_good="2.722.0", source=_AWS_SDKS, agents=("aws-sdk-nodejs",)),
    Known(name="the AWS SDK for PHP", first_good="3.147.7", source=_AWS_SDKS, agents=("aws-sdk-php",)),
    Known(name="the AWS SDK for Ruby", first_good="3.79.0", source=_AWS_SDKS, agents=("aws-sdk-ruby3",)),
)
"""By their user agents, the outer before the inner: the AWS CLI names its Botocore as well."""

AGENTS: Sequence[Known] = (
    Known(
        name="the SSM Agent",
        first_good="3.0.431.0",
        source="https://github.com/aws/amazon-ssm-agent/issues/319",
        packages=("amazon-ssm-agent", "amazon ssm agent"),
    ),
    Known(
        name="the Datadog Agent",
        first_good="7.64.0",
        source="https://github.com/DataDog/documentation/pull/27666",
        packages=("datadog-agent", "datadog agent"),
    ),
    Known(
        name="the CloudWatch Logs agent",
        first_good=None,
        source="https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AgentReference",
        packages=("awslogs", "aws-cli-plugin-cloudwatch-logs", "awscli-cwlogs"),
    ),
    Known(
        name="the New Relic infrastructure agent",
        first_good="1.11.42",
        source=(
            "https://docs.newrelic.com/docs/release-notes/infrastructure-release-notes/infrastructure-agent-release-notes/"
            "new-relic-infrastructure-agent-11142"
        ),
        packages=("newrelic-infra", "new relic infrastructure agent"),
    ),
    Known(
        name="Fluent Bit",
        first_good="1.8.8",
        source="https://github.com/fluent/fluent-bit-docs/pull/610",
        packages=("fluent-bit", "td-agent-bit"),
    ),
    Known(
        name="the EFS mount helper",
        first_good="1.31.2",
        source="https://github.com/aws/efs-utils/issues/91",
        packages=("amazon-efs-utils",),
    ),
    Known(
        name="ec2-net-utils",
        first_good="1.3",
        source="https://github.com/amazonlinux/amazon-ec2-net-utils/issues/6",
        packages=("ec2-net-utils",),
    ),
    Known(
        name="Cloudbase-Init",
        first_good=None,
        source="https://github.com/cloudbase/cloudbase-init/issues/150",
        packages=("cloudbase-init",),
    ),
)
"""By the names of their packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """Software on an instance that is too old to use IMDSv2 of itself. ``seen``: where it was seen, as words."""

    known: Known
    version: str
    seen: str

    @property
    def says(self) -> str:
        """As a sentence with what to do."""
        return f"{self.known.name} {self.version} ({self.seen}): too old. {self.known.remedy}".replace("  ", " ")


def fits(version: str, known: Known) -> bool:
    """Whether a version is known to call IMDSv1; one that cannot be read is taken for new enough."""
    if known.first_good is None:
        return True
    numbers = _numbers(version)
    return bool(numbers) and _significant(numbers) < _significant(_numbers(known.first_good))


def suspects_in(applications: Iterable[tuple[str, str]]) -> list[Suspect]:
    """The known ones among the applications of an instance, by name and version as its inventory has them."""
    by_package: Mapping[str, Known] = {package: each for each in (*AGENTS, *SDKS) for package in each.packages}
    found = {}
    for name, version in applications:
        known = by_package.get(_package(name))
        if known is not None and fits(version, known):
            found[known.name] = Suspect(known=known, version=plain(version, _LONGEST), seen="in its inventory")
    return list(found.values())


def _package(name: str) -> str:
    """The name of a package; Windows lists some applications with their version behind it."""
    return re.sub(r"\s+v?\d[\d.]*$", "", name[:_LONGEST].strip().lower())


def _numbers(version: str) -> tuple[int, ...]:
    """A version as numbers: the part before the release of a package, without the epoch of one."""
    upstream = version[:_LONGEST].strip().rpartition(":")[2].partition("-")[0]
    return tuple(map(int, _NUMBERS.findall(upstream)))


def _significant(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Without zeros at the end: 7.64 and 7.64.0 are one version."""
    end = max((place for place, number in enumerate(numbers, 1) if number), default=0)
    return numbers[:end]
