"""Checks of what the service changes in EC2: metadata options and tags."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.ec2 import describe
from imdsv2.aws.metadata_options import is_permitted, read_back, require_tokens
from imdsv2.aws.tagging import mark_rolled_back, tag, untag
from imdsv2.domain.instance import Instance
from tests.world.conformance.asking import OPTIONS, UNKNOWN, arn_of, code_of, look, options_of, raw, refused

if TYPE_CHECKING:
    from tests.world.conformance.clouds import Cloud

WHEN = datetime(2026, 11, 20, 12, tzinfo=UTC)


# --- Metadata options ----------------------------------------------------------------------------------------------


def tokens_required(cloud: Cloud) -> Any:
    """By the service's own call; it waits until EC2 says that the change is applied."""
    instance_id = cloud.launch()
    arn, seen = arn_of(cloud, instance_id), look(cloud, instance_id)
    refusal = require_tokens(cloud.ec2, lambda: seen, seen, WHEN, None)
    after = read_back(lambda arns: describe(cloud.ec2, arns), [arn], cloud.wait)[arn]
    assert isinstance(after, Instance)
    return refusal, after.options.http_tokens, after.options.state


def options_that_are_not_sent_stay(cloud: Cloud) -> Any:
    """To required and back, one option at a time."""
    instance_id, seen = cloud.launch(HttpPutResponseHopLimit=3, HttpEndpoint="enabled"), []
    for tokens in ("required", "optional"):
        cloud.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens=tokens)
        seen.append(options_of(cloud, instance_id))
    return seen


def a_change_is_answered_as_pending(cloud: Cloud) -> Any:
    """With the options as they will be."""
    answer = cloud.ec2.modify_instance_metadata_options(InstanceId=cloud.launch(), HttpTokens="required")
    options = answer["InstanceMetadataOptions"]
    return answer["InstanceId"], options["State"], [options[name] for name in OPTIONS]


def a_change_of_a_stopped_instance_waits_for_its_start(cloud: Cloud) -> Any:
    """It stays pending, and is applied after the start."""
    instance_id = cloud.launch()
    cloud.stop(instance_id)
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required")
    cloud.wait(0.5)
    stopped = raw(cloud, instance_id)["MetadataOptions"]
    cloud.start(instance_id)
    cloud.wait(0.5)
    started = raw(cloud, instance_id)["MetadataOptions"]
    return [(each["State"], each["HttpTokens"]) for each in (stopped, started)]


def tokens_alone_at_a_closed_endpoint(cloud: Cloud) -> Any:
    """Refused in words that name the option that is missing; nothing is changed, and both together are taken."""
    instance_id = cloud.launch(HttpEndpoint="disabled")
    said = refused(cloud.ec2.modify_instance_metadata_options, InstanceId=instance_id, HttpTokens="required")
    before = options_of(cloud, instance_id)
    cloud.ec2.modify_instance_metadata_options(InstanceId=instance_id, HttpTokens="required", HttpEndpoint="enabled")
    return said, before, options_of(cloud, instance_id)


def a_dry_run(cloud: Cloud) -> Any:
    """Its success is an error, and nothing is changed."""
    instance_id = cloud.launch()
    said = code_of(
        cloud.ec2.modify_instance_metadata_options, InstanceId=instance_id, HttpTokens="required", DryRun=True
    )
    return said, is_permitted(cloud.ec2, arn_of(cloud, instance_id)), options_of(cloud, instance_id)


def a_hop_limit_out_of_range(cloud: Cloud) -> Any:
    """It goes from 1 to 64."""
    instance_id, change = cloud.launch(), cloud.ec2.modify_instance_metadata_options
    said = [code_of(change, InstanceId=instance_id, HttpPutResponseHopLimit=limit) for limit in (0, 65)]
    taken = []
    for limit in (64, 1):
        change(InstanceId=instance_id, HttpPutResponseHopLimit=limit)
        taken.append(options_of(cloud, instance_id))
    return said, taken


def a_change_of_an_unknown_instance(cloud: Cloud) -> Any:
    """It is named."""
    return refused(cloud.ec2.modify_instance_metadata_options, InstanceId=UNKNOWN[0], HttpTokens="required")


def a_change_of_a_terminated_instance(cloud: Cloud) -> Any:
    """Refused for its state."""
    instance_id = cloud.launch()
    cloud.terminate(instance_id)
    return code_of(cloud.ec2.modify_instance_metadata_options, InstanceId=instance_id, HttpTokens="required")


# --- Tags ----------------------------------------------------------------------------------------------------------


def the_tags_of_the_service(cloud: Cloud) -> Any:
    """Set on several instances at once, replaced at the rollback, set again after one, removed."""
    ids = [cloud.launch({"Name": name}) for name in ("one", "two")]
    arns, seen = [arn_of(cloud, each) for each in ids], []
    for step in (
        lambda: tag(cloud.ec2, [look(cloud, each) for each in ids], WHEN, {}),
        lambda: mark_rolled_back(cloud.ec2, arns[:1], WHEN),
        lambda: tag(cloud.ec2, [look(cloud, each) for each in ids], WHEN.replace(hour=13), {}),
        lambda: untag(cloud.ec2, arns),
    ):
        refusals = step()
        seen.append((refusals, [dict(look(cloud, each).tags) for each in ids]))
    return seen


def one_full_instance_refuses_for_all(cloud: Cloud) -> Any:
    """Fifty tags are the most; none of the others is tagged either, and a key that is there may be written again."""
    full, spare = cloud.launch({f"key-{number}": "x" for number in range(50)}), cloud.launch()
    said = code_of(cloud.ec2.create_tags, Resources=[spare, full], Tags=[{"Key": "new", "Value": "x"}])
    cloud.ec2.create_tags(Resources=[full], Tags=[{"Key": "key-0", "Value": "y"}])
    return said, dict(look(cloud, spare).tags), dict(look(cloud, full).tags)


def tags_of_aws_do_not_count(cloud: Cloud) -> Any:
    """Fifty of the user's fit besides."""
    tags = {f"key-{number}": "x" for number in range(49)}
    instance_id = cloud.launch({**tags, "aws:autoscaling:groupName": "web"})
    cloud.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": "new", "Value": "x"}])
    return len(look(cloud, instance_id).tags)


def tagging_an_unknown_instance(cloud: Cloud) -> Any:
    """It is named, and the others are not tagged."""
    known = cloud.launch()
    said = refused(cloud.ec2.create_tags, Resources=[known, UNKNOWN[0]], Tags=[{"Key": "new", "Value": "x"}])
    return said, dict(look(cloud, known).tags)


def tags_are_removed_by_key_or_only_with_their_value(cloud: Cloud) -> Any:
    """A value that does not match removes nothing, nor does a key that is not there."""
    instance_id = cloud.launch({"a": "1", "b": "2", "c": "3"})
    gone = [{"Key": "a", "Value": "other"}, {"Key": "b"}, {"Key": "c", "Value": "3"}, {"Key": "d"}]
    cloud.ec2.delete_tags(Resources=[instance_id], Tags=gone)
    return dict(look(cloud, instance_id).tags)
