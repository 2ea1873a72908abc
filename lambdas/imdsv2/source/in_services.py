"""Remedies for sources whose templates a service makes for itself: Karpenter, EKS, Elastic Beanstalk, EMR, Batch; and for launches by
hand, where the account's default decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.domain.graduation import BY_POLICY
from imdsv2.source.in_cli import command, option
from imdsv2.source.launches import newest_of
from imdsv2.source.origin import POOL_TAG, Kind
from imdsv2.source.quoting import remark, shell, shell_json, yaml
from imdsv2.source.remedy import CONTAINER_HOPS, Language, Remedy

if TYPE_CHECKING:
    from imdsv2.source.assembly import Source
    from imdsv2.source.launching import Image
    from imdsv2.source.owner import Owner

BATCH_REPLACES = (
    "Batch makes new instances for this change (an infrastructure update) and ends the old ones: when their jobs have ended, or after "
    "jobExecutionTimeoutMinutes of the environment's update policy."
)
_EMR_CONFIGURATION = "imdsv2-required"
_SUFFIX = "-imdsv2"
_LONGEST_NODE_GROUP = 63
"""EKS API reference, CreateNodegroup, nodegroupName."""
BATCH_TAKES = (
    "Batch takes this change only of environments with its service-linked role and another allocation strategy than BEST_FIT; for others, "
    "make a new environment with this launch template, and give it to the job queue."
)
_BEANSTALK_NAMESPACE = "aws:autoscaling:launchconfiguration"


_KARPENTER = ("nodepool", "ec2nodeclass", ".spec.template.spec.nodeClassRef.name")
_OLD_KARPENTER = ("provisioner", "awsnodetemplate", ".spec.providerRef.name")
"""What launches nodes, what says with which options, and where the first names the second. Karpenter 0.32 renamed them."""
_DRIFT = (
    "Karpenter replaces the running nodes of this class, because they have drifted from it: at once, within the disruption budgets of their "
    "node pools. Set a budget of 0 nodes first if they are to stay."
)
_OLD_DRIFT = (
    "None, unless Karpenter's setting featureGates.driftEnabled is true: then it replaces the running nodes, because they have drifted. Set it to "
    "false first if they are to stay."
)


def _containers(hops: int = CONTAINER_HOPS) -> str:
    return f"Hop limit {hops} lets pods reach the instance role with tokens; write 1 if pods are to be kept from it."


def karpenter(source: Source) -> list[Remedy]:
    """The patch of an EC2NodeClass, or before Karpenter 0.32 of an AWSNodeTemplate. Where no tag names it, the pool's reference to it does. A
    hop limit above 2 was chosen, for an overlay network for example; one of 1 is also what a class has that says nothing."""
    hops = max(CONTAINER_HOPS, *(each.options.hop_limit for each in source.instances))
    options = {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": hops}
    patch = shell_json({"spec": {"metadataOptions": options}})
    old = not any(POOL_TAG in each.tags for each in source.instances)
    pool, kind, reference = _OLD_KARPENTER if old else _KARPENTER
    asked = f'"$(kubectl get {pool} {shell(source.origin.name)} --output jsonpath={{{reference}}})"'
    whom = shell(source.origin.detail) if source.origin.detail else asked
    cluster = f"In cluster {source.origin.within}, " if source.origin.within else ""
    return [
        Remedy(
            language=Language.KARPENTER,
            text=f"kubectl patch {kind} {whom} --type merge --patch {patch}\n",
            says=f"{cluster}Karpenter launches every further node of this node class with tokens required. {_containers(hops)} Its newest node has hop "
            f"limit {newest_of(source.instances).options.hop_limit}. To go back, patch httpTokens to optional: the nodes are replaced again.",
            replaces=_OLD_DRIFT if old else _DRIFT,
        )
    ]


def eks_node_group(source: Source) -> list[Remedy]:
    """A node group beside the present one, where it has no template of one's own, or EKS was not asked whether it has one: EKS
    copies it into one that it makes itself, so that no tag tells."""
    group, cluster, region = source.origin.name, source.origin.within, source.place.region
    eksctl = _in_eksctl(cluster, group, region, "managedNodeGroups")
    whom = (option("cluster-name", cluster), option("nodegroup-name", group))
    if source.service is not None:
        return [eksctl]
    asked = command("eks", "describe-nodegroup", region, *whom, "--query nodegroup.launchTemplate --output json")
    own = Remedy(
        language=Language.CLI,
        text=f"{asked}\n",
        says="Only asks whether the node group has a launch template of your own. If so, make a version of that template with "
        "HttpTokens=required and HttpPutResponseHopLimit=2 (1 keeps pods from the instance role), and name it in "
        "`aws eks update-nodegroup-version --launch-template`. Never change the template that EKS made.",
        replaces="None by itself; update-nodegroup-version replaces all nodes of the group, a few at a time.",
    )
    return [eksctl, own]


def of_eksctl(source: Source, owner: Owner) -> Remedy:
    """A node group beside the present one, which eksctl made with a stack and a template that it does not change later. Only the stack
    names both, whether the node group is one of EKS or a group of its own."""
    if source.origin.kind is Kind.EKS_NODE_GROUP:
        return _in_eksctl(source.origin.within, source.origin.name, source.place.region, "managedNodeGroups")
    cluster, _, group = owner.stack.removeprefix("eksctl-").rpartition("-nodegroup-")
    groups = "managedNodeGroups" if owner.logical_id == "LaunchTemplate" else "nodeGroups"
    return _in_eksctl(cluster, group, source.place.region, groups)


def _in_eksctl(cluster: str, group: str, region: str, groups: str) -> Remedy:
    lines = [
        "apiVersion: eksctl.io/v1alpha5",
        "kind: ClusterConfig",
        "metadata:",
        f"  name: {yaml(cluster)}",
        f"  region: {region}",
        f"{groups}:",
        f"  # Copy what node group {remark(group)} says, and change these:",
        f"  - name: {yaml(group[: _LONGEST_NODE_GROUP - len(_SUFFIX)] + _SUFFIX)}",
        "    disableIMDSv1: true",
        "    disablePodIMDS: false",
    ]
    return Remedy(
        language=Language.EKSCTL,
        text="\n".join(lines) + "\n",
        says="eksctl makes a node group beside the present one, with a template that requires tokens. disablePodIMDS: false lets pods "
        "reach the instance role with tokens (hop limit 2); write true to keep them from it (hop limit 1).",
        replaces="None until you delete the present node group: its nodes are then drained and terminated.",
    )


def beanstalk(source: Source) -> list[Remedy]:
    """The environment's own option."""
    setting = f"Namespace={_BEANSTALK_NAMESPACE},OptionName=DisableIMDSv1,Value=true"
    name = option("environment-name", source.origin.name)
    update = command("elasticbeanstalk", "update-environment", source.place.region, name, "--option-settings", setting)
    rolls = (
        "Elastic Beanstalk replaces all running instances of the environment: as its deployment policy for configuration changes "
        "says, or all at once if rolling updates are off."
    )
    says = "The environment launches with tokens required. To go back, set the option to false: the instances are replaced again."
    config = "\n".join(
        [
            f"# .ebextensions/imdsv2.config of what is deployed to {remark(source.origin.name)}",
            "option_settings:",
            f"  {_BEANSTALK_NAMESPACE}:",
            "    DisableIMDSv1: true",
        ]
    )
    return [
        Remedy(language=Language.BEANSTALK, text=config + "\n", says=says, replaces=rolls),
        Remedy(language=Language.CLI, text=update + "\n", says=says, replaces=rolls),
    ]


def emr(source: Source) -> list[Remedy]:
    """A security configuration, which clusters take when they are made."""
    document = {
        "InstanceMetadataServiceConfiguration": {
            "MinimumInstanceMetadataServiceVersion": 2,
            "HttpPutResponseHopLimit": 1,
        }
    }
    made = command(
        "emr",
        "create-security-configuration",
        source.place.region,
        "--name",
        _EMR_CONFIGURATION,
        "--security-configuration",
        shell_json(document),
    )
    return [
        Remedy(
            language=Language.CLI,
            text=made + "\n",
            says=f"Makes a security configuration that requires tokens (EMR 5.32, 6.2 and later). Cluster {source.origin.within} keeps "
            f"its own until it ends: make the next one with --security-configuration {_EMR_CONFIGURATION}, or add this part to the "
            "one that it uses. Where that name is taken already, leave the command out. Hop limit 1 is enough unless containers run on the cluster's instances; then write 2.",
        )
    ]


def batch(source: Source) -> list[Remedy]:
    """A template of one's own. Batch merges it into one that it makes itself, which must stay as it is."""
    name = f"{source.origin.name}-imdsv2"[:128]
    region = source.place.region
    options = {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": CONTAINER_HOPS}
    template = command(
        "ec2",
        "create-launch-template",
        region,
        option("launch-template-name", name),
        "--launch-template-data",
        shell_json({"MetadataOptions": options}),
    )
    asks = (
        ""
        if source.service is not None
        else " If the environment has a launch template of your own already (aws batch describe-compute-environments tells), make a "
        "version of that one instead, and name it here."
    )
    resources = {"launchTemplate": {"launchTemplateName": name, "version": "$Default"}}
    update = command(
        "batch",
        "update-compute-environment",
        region,
        option("compute-environment", source.origin.name),
        "--compute-resources",
        shell_json(resources),
    )
    return [
        Remedy(
            language=Language.CLI,
            text=f"{template} &&\n{update}\n",
            says=f"Makes a launch template that requires tokens, and has the compute environment launch from it.{asks} {BATCH_TAKES} {_containers()}",
            replaces=BATCH_REPLACES,
        )
    ]


def by_hand(source: Source) -> list[Remedy]:
    """The account's default, which decides where a launch says nothing."""
    set_by_command = command("ec2", "modify-instance-metadata-defaults", source.place.region, "--http-tokens required")
    says = (
        f"Every further launch in account {source.place.account}, {source.place.region}, that does not say HttpTokens requires "
        "tokens: by hand, and from templates, groups and services that say nothing, also those with a verdict of hold here. "
        f"Look at all sources first. Running instances keep their options. {_default_back(source)} "
        f"A single launch: add --metadata-options {_single_launch(source)} to aws ec2 run-instances.{_hops_by_hand(source)}"
    )
    return [Remedy(language=Language.CLI, text=set_by_command + "\n", says=says)]


def _default_back(source: Source) -> str:
    """How the default goes back; where a declarative policy sets it, that AWS refuses the command."""
    defaults = source.defaults
    if defaults is not None and defaults.managed_by == BY_POLICY:
        return (
            "AWS refuses the command here, because a declarative policy of the organisation sets this default: have the policy changed "
            "(http_tokens of its instance_metadata_defaults)."
        )
    before = defaults.tokens if defaults is not None and defaults.tokens else "no-preference"
    return f"To undo it, send --http-tokens {before}."


def _single_launch(source: Source) -> str:
    hops = f",HttpPutResponseHopLimit={CONTAINER_HOPS}" if source.runs_containers else ""
    return f"HttpTokens=required,HttpEndpoint=enabled{hops}"


def _hops_by_hand(source: Source) -> str:
    if not source.runs_containers:
        return ""
    return (
        " Containers run on its instances: with hop limit 1, which a launch has that says nothing, they cannot get a token, and are kept "
        "from the instance role; with 2 they reach it."
    )


def spot_specifications(source: Source) -> list[Remedy]:
    """A Spot Fleet with launch specifications has nowhere to say it."""
    defaults = by_hand(source)[0]
    says = (
        "Launch specifications of a Spot Fleet know no metadata options: make a new request with a launch template that requires "
        f"tokens, or set the account's default with this command. {defaults.says}"
    )
    return [Remedy(language=Language.CLI, text=defaults.text, says=says)]


def image_attribute(image: Image, region: str) -> Remedy:
    """What makes an AMI require tokens for good."""
    whom = (option("image-id", image.id), "--imds-support v2.0")
    return Remedy(
        language=Language.CLI,
        text=command("ec2", "modify-image-attribute", region, *whom) + "\n",
        says=f"Launches from {image.id} require tokens, with hop limit 2, unless they or the account's default say otherwise. This cannot be "
        "undone on that AMI: copy it first if you may need it as it was. It concerns every account that the AMI is shared with. Running instances keep their options. The service does it, too, "
        f"and records who wanted it, unless a source that uses the AMI is held: imdsv2 images --require {image.id}.",
    )
