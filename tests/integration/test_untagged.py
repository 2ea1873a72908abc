"""Something removes the service's tag from what it enforced: people are told at the next pass, before anything breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.instance import ENFORCED_TAG
from tests.integration.guarding import enforced, guard, live, reject, untag

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.builders import Cloud

SUBJECT = "IMDSv1 is off, and could not be switched on again without its tag"


def said(cloud: Cloud) -> list[str]:
    """The messages about it."""
    return [each["Message"] for each in cloud.published() if each["Subject"].startswith(SUBJECT)]


def proved(cloud: Cloud) -> InstanceArn:
    """An instance whose watch has ended well, and of which only the next start matters."""
    arn = enforced(cloud)
    for _ in range(3):
        live(cloud, arn, hours=24)
        guard(cloud)
    assert "verified" == cloud.current(arn)["status"]
    return arn


@pytest.mark.parametrize("made", [enforced, proved])
def test_a_tag_that_is_gone_is_told_once_with_what_keeps_terraform_from_it(cloud: Cloud, made: object) -> None:
    """During the watch, and as long as the enforcement stands."""
    assert callable(made)
    arn = made(cloud)
    status = cloud.current(arn)["status"]
    untag(cloud, arn, ENFORCED_TAG)
    guard(cloud)
    (message,) = said(cloud)
    for words in (
        str(arn),
        f'ignore_changes = [tags["{ENFORCED_TAG}"], tags_all["{ENFORCED_TAG}"]]',
        f"aws ec2 create-tags --resources {arn.instance_id} --tags Key={ENFORCED_TAG},Value={cloud.current(arn)['enforced_at']}",
        "rollback role may not put the instance back",
    ):
        assert words in message
    for _ in range(4):
        guard(cloud)
    assert 1 == len(said(cloud))
    assert (status, "required") == (cloud.current(arn)["status"], cloud.tokens(arn))


def test_a_message_that_was_not_sent_is_sent_at_the_next_pass(cloud: Cloud) -> None:
    """It stays owed."""
    arn = enforced(cloud)
    untag(cloud, arn, ENFORCED_TAG)
    cloud.wire.refuse("Publish", "InternalError", status=500, times=1)
    guard(cloud)
    guard(cloud)
    guard(cloud)
    assert 2 == len(said(cloud))  # The refused one, and the one that arrived.


def test_what_keeps_its_tag_is_not_told_of(cloud: Cloud) -> None:
    """Neither is what the service never changed."""
    enforced(cloud)
    theirs = cloud.one()
    cloud.set_options(theirs, http_tokens="required")
    guard(cloud)
    assert [] == said(cloud)


def test_what_breaks_without_its_tag_is_told_as_before(cloud: Cloud) -> None:
    """Breakage comes first; the role may not put it back."""
    arn = enforced(cloud)
    untag(cloud, arn, ENFORCED_TAG)
    guard(cloud)
    reject(cloud, arn)
    assert 1 == guard(cloud).left_broken
    assert f"Its tag {ENFORCED_TAG} is gone" in cloud.current(arn)["explanation"]
    assert "required" == cloud.tokens(arn)


def test_a_watch_ends_well_without_the_tag_too(cloud: Cloud) -> None:
    """The tag says nothing about its health."""
    arn = enforced(cloud)
    untag(cloud, arn, ENFORCED_TAG)
    for _ in range(3):
        live(cloud, arn, hours=24)
        guard(cloud)
    assert "verified" == cloud.current(arn)["status"]
    assert 1 == len(said(cloud))
