"""What cannot wait for the digest."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.record import Record
from imdsv2.line.urgent import is_urgent

ARN = InstanceArn.of(region="eu-west-1", account="222222222222", instance_id="i-0123456789abcdef0")
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

AT_ONCE = {
    "put back": Record(arn=ARN, status="rolled_back", reason="broke_before"),
    "left broken": Record(arn=ARN, status="enforced", left_because="denied", broken_at=AT),
    "opened after it broke": Record(arn=ARN, status="held", left_because="opened_by_person", broken_at=AT),
    "a probe, or breakage": Record(arn=ARN, status="enforced", left_because="probe_or_breakage"),
    "gone after refused calls": Record(arn=ARN, status="enforced", left_because="gone_unexplained"),
    "not to be put back without its tag": Record(arn=ARN, status="verified", left_because="untagged"),
    "notice": Record(arn=ARN, status="held", decision="hold", reason="notice_given"),
    "unreachable": Record(arn=ARN, status="held", decision="hold", reason="unreachable"),
}
IN_THE_DIGEST = {
    "switched off": Record(arn=ARN, status="enforced", reason="unused"),
    "observed": Record(arn=ARN, status="would_enforce", reason="unused"),
    "held": Record(arn=ARN, status="held", reason="v1_in_use"),
    "waits for approval": Record(arn=ARN, status="held", reason="approval_required"),
    "failed": Record(arn=ARN, status="failed", reason="unused"),
    "an exemption ends": Record(arn=ARN, status="skipped", reason="exempt", reminder="ends"),
    "nothing proved": Record(arn=ARN, status="enforced", left_because="unproven"),
    "opened, and nothing broke": Record(arn=ARN, status="held", left_because="opened_by_person"),
}


@pytest.mark.parametrize("name", AT_ONCE)
def test_breakage_notices_and_what_cannot_be_reached_are_told_at_once(name: str) -> None:
    """Somebody has to act before the next night, or is owed the time to object."""
    assert is_urgent(AT_ONCE[name])


@pytest.mark.parametrize("name", IN_THE_DIGEST)
def test_everything_else_can_wait_for_the_night(name: str) -> None:
    """It was judged on weeks of evidence; a day more changes nothing."""
    assert not is_urgent(IN_THE_DIGEST[name])
