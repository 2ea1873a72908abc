"""Sources for tests: instances with tags, what was read of their launchers, and a catalogue with one source of every kind."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Instance, InstanceArn, MetadataOptions, Place
from imdsv2.source.assembly import Source, assemble
from imdsv2.source.launching import (
    Configuration,
    Defaults,
    Fleet,
    Found,
    Group,
    Image,
    Ref,
    Service,
    Template,
    Version,
)
from imdsv2.source.origin import origin_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PLACE = Place("aws", "eu-central-1", "210987654321")
LAUNCHED = datetime(2026, 9, 3, 4, 5, tzinfo=UTC)
NASTY = 'it\'s a "group" $(reboot) `id` #1 %{x} ${y}'
"""A name that AWS takes, and that ends quotes, comments or templates wherever it is not quoted."""
OWN_IMAGE, PUBLIC_IMAGE = "ami-0a1a1a1a1a1a1a1a1", "ami-0b2b2b2b2b2b2b2b2"
TEMPLATE = "lt-0c3c3c3c3c3c3c3c3"
OTHER_TEMPLATE = "lt-0d4d4d4d4d4d4d4d4"
STACK = {"aws:cloudformation:stack-name": "shop-prod", "aws:cloudformation:logical-id": "WebTemplate8F1B"}

DISTRIBUTION = {"OnDemandBaseCapacity": 1, "SpotAllocationStrategy": "price-capacity-optimized"}

_numbers = count(1)


def instance(
    tags: Mapping[str, str] | None = None,
    *,
    tokens: str = "optional",
    state: str = "running",
    image: str = PUBLIC_IMAGE,
    managed_by: str | None = None,
    hop_limit: int = 1,
    endpoint: str = "enabled",
    launched_at: datetime = LAUNCHED,
) -> Instance:
    """An instance as EC2 shows it."""
    arn = InstanceArn(PLACE.partition, PLACE.region, PLACE.account, f"i-{next(_numbers):017x}")
    return Instance(
        arn=arn,
        state=state,
        launched_at=launched_at,
        first_launched_at=launched_at,
        stopped_at=None,
        options=MetadataOptions(http_tokens=tokens, http_endpoint=endpoint, hop_limit=hop_limit),
        image_id=image,
        tags=tags or {},
        managed_by=managed_by,
    )


def template(id_: str = TEMPLATE, *, name: str = "web", default: int = 2, latest: int = 2, **fields: Any) -> Template:
    """A launch template."""
    return Template(id=id_, name=name, default=default, latest=latest, **fields)


def versions(id_: str = TEMPLATE, **numbered: Mapping[str, Any]) -> dict[tuple[str, int], Version]:
    """Versions by number (`v2={"HttpTokens": "optional"}`), each with its metadata options."""
    return {
        (id_, int(name[1:])): Version(template=id_, number=int(name[1:]), image=PUBLIC_IMAGE, options=options)
        for name, options in numbered.items()
    }


def found(**fields: Any) -> Found:
    """What was read: no account default, and both AMIs, neither of which requires tokens, unless something else is said."""
    images = {OWN_IMAGE: Image(id=OWN_IMAGE, name="base image's", own=True), PUBLIC_IMAGE: Image(id=PUBLIC_IMAGE)}
    return Found(**{"defaults": Defaults(), "images": images, **fields})


def source_of(instances: Iterable[Instance], read: Found) -> Source:
    """The one source of these instances."""
    origins: dict[Any, list[Instance]] = {}
    for each in instances:
        origins.setdefault(origin_of(each), []).append(each)
    (source,) = assemble(PLACE, origins, read)
    return source


def grouped(group: Group, *, tags: Mapping[str, str] | None = None, size: int = 2, **read: Any) -> Source:
    """The source that is a group, with its running instances."""
    marked = {"aws:autoscaling:groupName": group.name, **(tags or {})}
    return source_of([instance(marked) for _ in range(size)], found(groups={group.name: group}, **read))


def with_template(
    name: str = "web",
    *,
    version: str = "$Default",
    options: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    template_tags: Mapping[str, str] | None = None,
    default: int = 2,
    latest: int = 2,
    instance_tags: Mapping[str, str] | None = None,
) -> Source:
    """A group that launches from version 2 of its template."""
    group = Group(
        name=name,
        arn=f"arn:aws:autoscaling:eu-central-1:210987654321:autoScalingGroup:0:autoScalingGroupName/{name}",
        refs=(Ref(id=TEMPLATE, name=name, version=version),),
        tags=tags or {},
    )
    made = template(name=name, default=default, latest=latest, tags=template_tags or {})
    return grouped(
        group,
        tags=instance_tags,
        templates={TEMPLATE: made},
        versions=versions(v2=options or {}),
    )


def mixed(
    *, main: str = "2", other: str = "5", name: str = "mixed", main_tags: Mapping[str, str] | None = None
) -> Source:
    """A group with a mixed instances policy, in which an override has a template of its own."""
    specification = {"LaunchTemplateId": TEMPLATE, "LaunchTemplateName": "web", "Version": main}
    own = {"LaunchTemplateId": OTHER_TEMPLATE, "LaunchTemplateName": "arm", "Version": other}
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": specification,
            "Overrides": [
                {"InstanceType": "m7i.large", "WeightedCapacity": "1"},
                {"InstanceType": "m7g.large", "WeightedCapacity": "1", "LaunchTemplateSpecification": own},
            ],
        },
        "InstancesDistribution": {**DISTRIBUTION, "SpotInstancePools": 2},
    }
    refs = (
        Ref(id=TEMPLATE, name="web", version=main),
        Ref(id=OTHER_TEMPLATE, name="arm", version=other, types=("m7g.large",)),
    )
    return grouped(
        Group(name=name, arn=f"arn:{name}", refs=refs, policy=policy),
        templates={
            TEMPLATE: template(tags=main_tags or {}),
            OTHER_TEMPLATE: template(OTHER_TEMPLATE, name="arm", default=5, latest=5),
        },
        versions=versions(v2={}) | versions(OTHER_TEMPLATE, v5={"HttpPutResponseHopLimit": 3}),
    )


def configured(name: str = "web-1", *, group: str = "web", tags: Mapping[str, str] | None = None) -> Source:
    """A group with a launch configuration that has user data."""
    configuration = Configuration(
        name=name,
        arn=f"arn:{name}",
        image=PUBLIC_IMAGE,
        settings={
            "ImageId": PUBLIC_IMAGE,
            "InstanceType": "m5.large",
            "SecurityGroups": ["sg-0f1"],
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True}}],
            "InstanceMonitoring": {"Enabled": False},
        },
        has_user_data=True,
    )
    made = Group(name=group, arn=f"arn:{group}", configuration=name, tags=tags or {})
    return grouped(made, configurations={name: configuration})


def fleet(
    id_: str = "fleet-12a34b56-7890-4cde-8f01-23456789abcd", *, version: str = "2", kind: str = "maintain"
) -> Source:
    """An EC2 Fleet, or a Spot Fleet request by its id."""
    specification = {"LaunchTemplateId": TEMPLATE, "LaunchTemplateName": "web", "Version": version}
    configs = ({"LaunchTemplateSpecification": specification, "Overrides": [{"InstanceType": "c7i.large"}]},)
    refs = (Ref(id=TEMPLATE, name="web", version=version, types=("c7i.large",)),)
    key = "aws:ec2spot:fleet-request-id" if id_.startswith("sfr-") else "aws:ec2:fleet-id"
    return source_of(
        [instance({key: id_})],
        found(
            fleets={id_: Fleet(id=id_, kind=kind, refs=refs, configs=configs)},
            templates={TEMPLATE: template()},
            versions=versions(v2={}),
        ),
    )


def copied(
    kind: str, name: str = "night", *, version: str = "3", tags: Mapping[str, str] | None = None, **options: Any
) -> Source:
    """A node group of EKS (`eks`) or a compute environment of Batch (`batch`) that copies a template of one's own."""
    group = f"{name}-asg-0a1b2c3d-0a1b-0c2d-0e3f-0a1b2c3d4e5f"
    marked = (
        {"eks:cluster-name": "blue", "eks:nodegroup-name": name} if kind == "eks" else {"AWSBatchServiceTag": "batch"}
    )
    marked |= {"aws:autoscaling:groupName": group}
    instances = [instance(marked), instance(marked)]
    ref = Ref(id=OTHER_TEMPLATE, name=f"own-{name}", version=version)
    copy = Group(name=group, arn="arn:copy", refs=(Ref(id=TEMPLATE, version="1"),))
    read = found(
        groups={group: copy},
        services={origin_of(instances[0]): Service(arn=f"arn:{kind}:{name}", own=ref)},
        templates={
            TEMPLATE: template(name="eks-0", default=1, latest=1, tags={"eks:nodegroup-name": name}),
            OTHER_TEMPLATE: template(OTHER_TEMPLATE, name=f"own-{name}", default=3, latest=3, tags=tags or {}),
        },
        versions=versions(v1={}) | versions(OTHER_TEMPLATE, v3=options),
    )
    return source_of(instances, read)


def catalogue(name: str = "web") -> dict[str, Source]:
    """A source of every kind, whose next launch allows IMDSv1, all with this name."""
    in_stack = {"aws:cloudformation:stack-name": "shop-prod", "aws:cloudformation:logical-id": "Web"}
    by_terraform = {"ManagedBy": "Terraform"}
    node_group = {"eks:cluster-name": "blue", "eks:nodegroup-name": name}
    spot = "sfr-9f8e7d6c-5b4a-4321-8fed-cba987654321"
    return {
        "group, default version": with_template(name),
        "group, latest version": with_template(name, version="$Latest"),
        "group, pinned version": with_template(
            name, version="2", latest=4, options={"InstanceMetadataTags": "enabled"}
        ),
        "group in a stack": with_template(name, template_tags=STACK, tags=in_stack),
        "group of Terraform": with_template(name, template_tags=by_terraform),
        "group of Terraform, pinned": with_template(name, version="2", template_tags=by_terraform),
        "group with containers": with_template(name, instance_tags={"AmazonECSManaged": ""}),
        "mixed instances": mixed(name=name),
        "mixed instances, latest": mixed(main="$Latest", other="5", name=name),
        "launch configuration": configured(name, group=name),
        "launch configuration in a stack": configured("shop-prod-WebConfig-1X2Y3Z", tags=in_stack),
        "EC2 Fleet": fleet(),
        "Spot Fleet": fleet(spot),
        "template": source_of(
            [instance({"aws:ec2launchtemplate:id": TEMPLATE, "aws:ec2launchtemplate:version": "2"})],
            found(templates={TEMPLATE: template(name=name)}, versions=versions(v2={})),
        ),
        "instance of a stack": source_of([instance(in_stack)], found()),
        "instance of Terraform": source_of([instance(by_terraform | {"Name": name})], found()),
        "Karpenter": source_of(
            [instance({"karpenter.sh/nodepool": name, "karpenter.k8s.aws/ec2nodeclass": name})], found()
        ),
        "Karpenter, no class": source_of([instance({"karpenter.sh/nodepool": name})], found()),
        "EKS node group": with_template(f"eks-{name}", instance_tags=node_group, template_tags=node_group),
        "Beanstalk": with_template("awseb-asg", instance_tags={"elasticbeanstalk:environment-name": name}),
        "EKS node group, own template": copied("eks", name),
        "EKS node group, own template in a stack": copied("eks", name, tags=STACK),
        "EKS node group, own template of Terraform": copied("eks", name, tags=by_terraform),
        "Batch, own template": copied("batch", name),
        "EMR": source_of(
            [
                instance(
                    {"aws:elasticmapreduce:job-flow-id": "j-1ABC", "aws:elasticmapreduce:instance-group-role": "CORE"}
                )
            ],
            found(),
        ),
        "Batch": with_template(
            f"{name}-asg-0a1b2c3d-0a1b-0c2d-0e3f-0a1b2c3d4e5f", instance_tags={"AWSBatchServiceTag": "batch"}
        ),
        "by hand": source_of([instance(image=OWN_IMAGE)], found()),
    }
