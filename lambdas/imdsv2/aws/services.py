"""Asks EKS and Batch which launch template of one's own they launch from: each copies it into a template that it makes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from imdsv2.aws.errors import error_code
from imdsv2.aws.pages import listed
from imdsv2.domain.batches import batched
from imdsv2.source.launching import DEFAULT, Ref, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from imdsv2.source.origin import Origin

NAMES_A_CALL = 100
_GONE = "ResourceNotFoundException"


def read_node_groups(eks: Any, origins: Iterable[Origin]) -> dict[Origin, Service]:
    """The node groups of these origins, each by a call; one that is gone is left out. Raises ClientError or BotoCoreError."""
    found = {}
    for origin in origins:
        try:
            seen = eks.describe_nodegroup(clusterName=origin.within, nodegroupName=origin.name)["nodegroup"]
        except ClientError as error:
            if error_code(error) != _GONE:
                raise
            continue
        own = seen.get("launchTemplate")
        ref = (
            Ref(id=own.get("id", ""), name=own.get("name", ""), version=own.get("version") or DEFAULT) if own else None
        )
        found[origin] = Service(arn=seen.get("nodegroupArn"), own=ref)
    return found


def read_environments(batch: Any, origins: Sequence[Origin]) -> dict[Origin, Service]:
    """The compute environments of these origins, by the hundred; one that is gone is left out. Raises ClientError or BotoCoreError."""
    named = {each.name: each for each in origins}
    found = {}
    for asked in batched(sorted(named), NAMES_A_CALL):
        answer = batch.describe_compute_environments(computeEnvironments=asked)
        for seen in listed(answer, "computeEnvironments"):
            if origin := named.get(seen["computeEnvironmentName"]):
                found[origin] = Service(arn=seen.get("computeEnvironmentArn"), own=_template_of(seen))
    return found


def _template_of(environment: Mapping[str, Any]) -> Ref | None:
    own = environment.get("computeResources", {}).get("launchTemplate")
    if not own:
        return None
    return Ref(
        id=own.get("launchTemplateId") or "",
        name=own.get("launchTemplateName") or "",
        version=own.get("version") or DEFAULT,
    )
