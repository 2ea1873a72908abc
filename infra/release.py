"""Stamps the version on what is deployed, so that every account tells which one it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import CfnOutput, Tags

from imdsv2.version import VERSION, VERSION_TAG

if TYPE_CHECKING:
    from aws_cdk import Stack

_STAMPED = ["aws:cdk:stack", "AWS::IAM::Role", "AWS::Events::Rule"]
"""Not every resource: a new version would update queues, keys and the ledger for its tag alone."""


def stamp(stack: Stack) -> None:
    """Tag a stack, its roles and its rules, and add the output `Version`."""
    Tags.of(stack).add(VERSION_TAG, VERSION, include_resource_types=_STAMPED)
    CfnOutput(stack, "Version", value=VERSION)
