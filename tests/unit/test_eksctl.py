"""Node groups of eksctl: it makes a stack and a launch template for each, which nobody else edits, and changes neither later."""

from __future__ import annotations

import pytest
import yaml

from imdsv2.source.owner import owner_of
from imdsv2.source.remedies import remedies_of
from imdsv2.source.remedy import Language
from tests.unit.source_builders import copied, with_template


def stack(name: str, logical_id: str) -> dict[str, str]:
    """The tags of a launch template in a stack."""
    return {"aws:cloudformation:stack-name": name, "aws:cloudformation:logical-id": logical_id}


MANAGED = stack("eksctl-blue-nodegroup-night", "LaunchTemplate")
OF_ITS_OWN = stack("eksctl-lab-cluster-nodegroup-gpu-1", "NodeGroupLaunchTemplate")


def test_a_managed_node_group_gets_one_beside_it_in_eksctl_s_language() -> None:
    """Not a change of the stack that eksctl made."""
    (remedy,) = remedies_of(copied("eks", "night", tags=MANAGED))
    assert Language.EKSCTL is remedy.language
    written = yaml.safe_load(remedy.text)
    assert "blue" == written["metadata"]["name"]
    assert [{"name": "night-imdsv2", "disableIMDSv1": True, "disablePodIMDS": False}] == written["managedNodeGroups"]
    assert "None until you delete" in (remedy.replaces or "")


@pytest.mark.parametrize("version", ["$Default", "$Latest", "2"])
def test_so_does_a_node_group_that_eksctl_launches_by_a_group_of_its_own(version: str) -> None:
    """Cluster and node group are named by the stack."""
    source = with_template("eksctl-lab", version=version, template_tags=OF_ITS_OWN, tags=OF_ITS_OWN)
    (remedy,) = remedies_of(source)
    assert Language.EKSCTL is remedy.language
    written = yaml.safe_load(remedy.text)
    assert "lab-cluster" == written["metadata"]["name"]
    assert ["gpu-1-imdsv2"] == [each["name"] for each in written["nodeGroups"]]


def test_a_copy_of_a_template_that_requires_tokens_by_now_is_made_anew() -> None:
    """Whoever changed it."""
    (remedy,) = remedies_of(copied("eks", "night", tags=MANAGED, HttpTokens="required"))
    assert Language.CLI is remedy.language


def test_what_eksctl_made_is_eksctl_s() -> None:
    """And a stack that somebody named after it is his own."""
    for tags, said in ((MANAGED, "eksctl"), (stack("my-eksctl-nodes", "LaunchTemplate"), "CloudFormation stack")):
        owner = owner_of(tags)
        assert owner is not None
        assert owner.said.startswith(said)
