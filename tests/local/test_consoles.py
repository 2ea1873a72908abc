"""What instances write to their consoles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.local.launching import launch

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud


def test_an_instance_that_has_written_nothing_has_no_output(ec2: EC2Client) -> None:
    """As in AWS, where the element is missing for the first minutes."""
    [instance_id] = launch(ec2)
    assert "Output" not in ec2.get_console_output(InstanceId=instance_id, Latest=True)


def test_what_it_has_written_is_read(cloud: LocalCloud, ec2: EC2Client) -> None:
    """Decoded by the SDK."""
    [instance_id] = launch(ec2)
    cloud.ask("PUT", "console", {"instance_id": instance_id, "text": "booted\n<done> & well\n"})
    assert "booted\n<done> & well\n" == ec2.get_console_output(InstanceId=instance_id)["Output"]
