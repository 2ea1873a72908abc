"""A remedy: the exact change that makes a source require tokens, in the language in which the source is managed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imdsv2.source.effect import OPTIONAL
from imdsv2.source.launches import TemplateLaunch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.assembly import Source

CONTAINER_HOPS = 2
"""The hop limit with which containers reach the metadata service; a limit of 1 keeps them from it."""

_LAUNCH_OPTIONS = ("HttpEndpoint", "HttpTokens", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags")


class Language(StrEnum):
    """The languages of remedies."""

    CLI = "aws-cli"
    CLOUDFORMATION = "cloudformation"
    CDK_PYTHON = "cdk-python"
    CDK_TYPESCRIPT = "cdk-typescript"
    TERRAFORM = "terraform"
    EKSCTL = "eksctl"
    KARPENTER = "karpenter"
    BEANSTALK = "beanstalk"
    PACKER = "packer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A text to copy.

    Args:
        language: what the text is written in.
        text: the text, with the source's own names and values.
        says: what it does and whom it concerns, in words.
        replaces: which running instances it replaces, and when; None if it leaves all of them alone.
    """

    language: Language
    text: str
    says: str
    replaces: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hops:
    """The hop limit that a remedy sets (None: it says nothing of it), and the choice that a person has, in words."""

    limit: int | None
    choice: str


def hops_of(source: Source, options: Mapping[str, Any]) -> Hops:
    """The hop limit of a remedy for a launch with these options. A limit that somebody chose is kept, for this launch or for all of the
    account's."""
    said = options.get("HttpPutResponseHopLimit")
    if said is None and source.runs_containers and (chosen := _of_the_account(source)):
        says = f"Hop limit: the account's default, {chosen}, goes on applying; containers reach the instance role with tokens from 2 on."
        return Hops(limit=None, choice=says)
    if not source.runs_containers:
        return Hops(
            limit=said,
            choice="Hop limit: if containers run here and are to use the instance role, set 2; otherwise leave it as it is.",
        )
    if said is None:
        return Hops(
            limit=CONTAINER_HOPS,
            choice="Hop limit 2 lets containers reach the instance role with tokens; write 1 if pods are to be kept from it.",
        )
    other = (
        "write 2 if containers are to reach it with tokens" if said == 1 else "write 1 if pods are to be kept from it"
    )
    effect = (
        "keeps containers from the instance role"
        if said == 1
        else "lets containers reach the instance role with tokens"
    )
    return Hops(limit=said, choice=f"Hop limit {said} stays as it was chosen and {effect}; {other}.")


def _of_the_account(source: Source) -> int:
    """The account's default where it decides what launches get that say nothing; 0 if there is none, or if something else decides, as EKS
    does, which gives nodes 2."""
    chosen = source.defaults.hop_limit if source.defaults is not None else 0
    newest = max(source.instances, key=lambda each: each.launched_at, default=None)
    given = newest.options.hop_limit if newest is not None else chosen
    return chosen if chosen >= CONTAINER_HOPS or (chosen > 0 and given == chosen) else 0


def shown_options(source: Source) -> dict[str, Any]:
    """What has to be kept of running instances that cannot be asked what launched them: the highest hop limit where containers run. A
    limit of 1 is what a launch has that says nothing."""
    highest = max((each.options.hop_limit for each in source.instances), default=1)
    return {"HttpPutResponseHopLimit": highest} if source.runs_containers and highest > 1 else {}


def options_to_launch(options: Mapping[str, Any], hops: Hops) -> dict[str, Any]:
    """Metadata options that differ from those of a launch only in that tokens are required, and in the hop limit."""
    wanted = {**options, "HttpTokens": "required", "HttpEndpoint": options.get("HttpEndpoint", "enabled")}
    if hops.limit is not None:
        wanted["HttpPutResponseHopLimit"] = hops.limit
    return {name: wanted[name] for name in _LAUNCH_OPTIONS if name in wanted}


def open_templates(source: Source) -> list[TemplateLaunch]:
    """The launches of a source, from a launch template, that allow IMDSv1; each version of a template once, older ones first,
    so that what is made from the latest becomes the latest again."""
    found: dict[tuple[str, int], TemplateLaunch] = {}
    for each in source.launches:
        if isinstance(each, TemplateLaunch) and each.effect.tokens == OPTIONAL and not each.past:
            found.setdefault((each.version.template, each.version.number), each)
    return [found[key] for key in sorted(found)]
