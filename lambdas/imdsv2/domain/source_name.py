"""What a finding on a source names, and what the ledger calls each source: within one account and Region, a kind and a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from imdsv2.domain.instance import ACCOUNT, partition_of

_TEMPLATE_ARN = re.compile(
    r"arn:aws[a-z-]*:ec2:(?P<region>[a-z0-9-]{5,30}):(?P<account>\d{12}):launch-template/(?P<name>lt-[0-9a-f]{8,17})",
    re.ASCII,
)
_CONFIGURATION_ARN = re.compile(
    r"arn:aws[a-z-]*:autoscaling:(?P<region>[a-z0-9-]{5,30}):(?P<account>\d{12})"
    r":launchConfiguration:[0-9a-f-]{36}:launchConfigurationName/(?P<name>.{1,255})",
    re.ASCII | re.DOTALL,
)
_REGION = re.compile(r"[a-z0-9-]{5,30}", re.ASCII)


class Named(StrEnum):
    """What controls name beside instances. Values are the kinds in the ledger."""

    TEMPLATE_DEFAULT = "template_default"
    LAUNCH_CONFIGURATION = "launch_configuration"


_NAMES = {
    Named.TEMPLATE_DEFAULT: re.compile(r"lt-[0-9a-f]{8,17}", re.ASCII),
    Named.LAUNCH_CONFIGURATION: re.compile(r"[^\x00-\x1f]{1,255}"),
}
_ARNS = {Named.TEMPLATE_DEFAULT: _TEMPLATE_ARN, Named.LAUNCH_CONFIGURATION: _CONFIGURATION_ARN}


@dataclass(frozen=True, slots=True, order=True)
class SourceName:
    """A source, or a thing that sources launch from, in one account and Region."""

    partition: str
    region: str
    account: str
    kind: str
    name: str

    @property
    def key(self) -> str:
        """Its key in the ledger and in texts: `aws/222222222222/eu-west-1/template_default:lt-0a1b2c3d`."""
        return f"{self.partition}/{self.account}/{self.region}/{self.kind}:{self.name}"

    @classmethod
    def named(cls, kind: Named, text: str, *, region: str | None = None, account: str | None = None) -> SourceName:
        """What an ARN names, or a bare id or name in a Region and account. Raises ValueError, which says what it takes."""
        match = _ARNS[kind].fullmatch(text)
        if match is not None:
            region, account, name = match["region"], match["account"], match["name"]
        elif text.startswith("arn:") or not _NAMES[kind].fullmatch(text) or region is None or account is None:
            raise ValueError(f"takes the ARN of a {_IN_WORDS[kind]}")
        else:
            name = text
        if not _REGION.fullmatch(region) or not ACCOUNT.fullmatch(account):
            raise ValueError("takes a Region and an account id of 12 digits")
        return cls(partition_of(region), region, account, kind, name)


_IN_WORDS = {Named.TEMPLATE_DEFAULT: "launch template", Named.LAUNCH_CONFIGURATION: "launch configuration"}
