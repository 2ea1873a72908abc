"""Of an account's metadata defaults, the role that changes sources may set tokens, hops and enforcement, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.infra.test_permissions import SOURCE, in_account, judged, names_of

if TYPE_CHECKING:
    from tests.infra.templates import Template

CHANGE = "ec2:ModifyInstanceMetadataDefaults"


def test_other_defaults_are_out_of_its_reach(member_template: Template) -> None:
    """Alone, or beside those that it may set."""
    requests = {
        f"{option} {beside}": in_account(
            member_template, SOURCE, CHANGE, "*", {f"ec2:Attribute/{option}": "enabled", **beside}
        )
        for option in ("HttpEndpoint", "InstanceMetadataTags")
        for beside in ({}, {"ec2:Attribute/HttpTokens": "required"})
    }
    assert [] == names_of(judged(requests), allowed=True)


def test_no_other_role_sets_defaults(member_template: Template) -> None:
    """Not those that change instances."""
    requests = {
        role: in_account(
            member_template, f"imdsv2-remediation-{role}", CHANGE, "*", {"ec2:Attribute/HttpTokens": "required"}
        )
        for role in ("read", "write", "rollback", "source")
    }
    assert ["source"] == names_of(judged(requests), allowed=True)
