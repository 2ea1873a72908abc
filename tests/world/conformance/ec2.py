"""Checks of EC2: instances as the service sees them, by id and by filter, and what their states do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import describe, instances_of, list_instances, running_instances
from imdsv2.domain.instance import Missing, Place
from tests.world.conformance.asking import UNKNOWN, arn_of, code_of, look, options_of, raw, refused, told
from tests.world.conformance.clouds import REGION

if TYPE_CHECKING:
    from tests.world.conformance.clouds import Cloud


# --- Describe ------------------------------------------------------------------------------------------------------


def an_instance_as_the_service_reads_it(cloud: Cloud) -> Any:
    """Every field that is read, of one launched with EC2's own options and one with others."""
    plain = cloud.launch()
    other = cloud.launch({"Name": "web"}, HttpTokens="required", HttpEndpoint="enabled", HttpPutResponseHopLimit=3)
    return [told(cloud, each) for each in (look(cloud, plain), look(cloud, other))]


def a_closed_endpoint(cloud: Cloud) -> Any:
    """An instance launched without one."""
    return options_of(cloud, cloud.launch(HttpEndpoint="disabled"))


def unknown_ids_are_left_out(cloud: Cloud) -> Any:
    """The others of the same call are seen, and nobody is unreachable."""
    first, second = cloud.launch(), cloud.launch()
    arns = [arn_of(cloud, each) for each in (first, UNKNOWN[0], second, UNKNOWN[1])]
    return {arn.instance_id: isinstance(seen, Missing) for arn, seen in describe(cloud.ec2, arns).items()}


def one_unknown_id(cloud: Cloud) -> Any:
    """It is named."""
    return refused(cloud.ec2.describe_instances, InstanceIds=[cloud.launch(), UNKNOWN[0]])


def several_unknown_ids(cloud: Cloud) -> Any:
    """All are named."""
    return refused(cloud.ec2.describe_instances, InstanceIds=[cloud.launch(), *UNKNOWN])


def a_malformed_id(cloud: Cloud) -> Any:
    """It is named, before those that are only unknown."""
    return refused(cloud.ec2.describe_instances, InstanceIds=[UNKNOWN[0], "i-0123"])


def ids_do_not_go_with_a_page_size(cloud: Cloud) -> Any:
    """The two exclude each other."""
    return code_of(cloud.ec2.describe_instances, InstanceIds=[cloud.launch()], MaxResults=5)


def pages(cloud: Cloud) -> Any:
    """As many a page as were asked for, the last one without a token, each instance once."""
    for _ in range(10):
        cloud.launch()
    sizes: list[int] = []
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = cloud.ec2.describe_instances(MaxResults=5, **token)
        ids = [each["InstanceId"] for reservation in page["Reservations"] for each in reservation["Instances"]]
        sizes.append(len(ids))
        seen += ids
        if not page.get("NextToken"):
            return sizes, sorted(seen) == sorted(cloud.ids)
        token = {"NextToken": page["NextToken"]}


def every_instance_by_its_state(cloud: Cloud) -> Any:
    """Those that are terminated are neither listed nor counted."""
    _fleet(cloud)
    return {instance: access.name for instance, access in list_instances(cloud.ec2).between(None, None)}


def what_runs_and_allows_imdsv1(cloud: Cloud) -> Any:
    """Both filters hold at once."""
    _fleet(cloud)
    return {each.arn.instance_id for each in running_instances(cloud.ec2, Place("aws", REGION, cloud.account))}


def those_of_a_source(cloud: Cloud) -> Any:
    """By a tag, in whatever state, and by an AMI; what stands for other characters in a filter is taken as it is."""
    ids = [cloud.launch({"App": app}) for app in ("shop", "shop", "jobs")]
    cloud.stop(ids[1])
    place = Place("aws", REGION, cloud.account)

    def found(name: str, *values: str) -> set[str]:
        return {each.arn.instance_id for each in instances_of(cloud.ec2, place, name, values)}

    return found("tag:App", "shop", "none") == set(ids[:2]), found("image-id", "ami-0fffffffffffffff0")


def an_image_that_nobody_knows(cloud: Cloud) -> Any:
    """It is left out."""
    asked = [{"Name": "image-id", "Values": ["ami-0fffffffffffffff0"]}]
    return "images", cloud.ec2.describe_images(Filters=asked)["Images"]


# --- States --------------------------------------------------------------------------------------------------------


def a_stop_is_told_in_words(cloud: Cloud) -> Any:
    """The service reads its time from them."""
    instance_id = cloud.launch()
    cloud.stop(instance_id)
    return told(cloud, look(cloud, instance_id))


def a_start_empties_the_reason(cloud: Cloud) -> Any:
    """Nothing is left of the stop."""
    instance_id = cloud.launch()
    cloud.stop(instance_id)
    cloud.start(instance_id)
    return raw(cloud, instance_id).get("StateTransitionReason"), told(cloud, look(cloud, instance_id))


def a_start_moves_the_launch_time_alone(cloud: Cloud) -> Any:
    """The first launch stays in the attachment of the primary network interface."""
    instance_id = cloud.launch()
    before = look(cloud, instance_id)
    cloud.wait(1.1)
    cloud.stop(instance_id)
    cloud.start(instance_id)
    after = look(cloud, instance_id)
    return after.launched_at > before.launched_at, after.first_launched_at == before.first_launched_at


def a_terminated_instance_is_still_shown(cloud: Cloud) -> Any:
    """With its tags, and without a time at which it was stopped."""
    instance_id = cloud.launch({"Name": "web"})
    cloud.terminate(instance_id)
    seen = look(cloud, instance_id)
    return seen.state, seen.stopped_at, dict(seen.tags)


def a_terminated_instance_has_no_network_interface(cloud: Cloud) -> Any:
    """And with it no first launch."""
    instance_id = cloud.launch()
    cloud.terminate(instance_id)
    return raw(cloud, instance_id)["NetworkInterfaces"], look(cloud, instance_id).first_launched_at


def _fleet(cloud: Cloud) -> None:
    """Running, stopped and terminated instances, with tokens optional and required."""
    for end in (None, cloud.stop, cloud.terminate):
        for tokens in ("optional", "required"):
            instance_id = cloud.launch(HttpTokens=tokens)
            if end is not None:
                end(instance_id)
