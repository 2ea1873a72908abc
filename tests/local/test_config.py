"""Config of the local AWS: it records everything until somebody changes that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloud.run import LocalCloud


def test_config_records_from_the_start_and_can_be_stopped(cloud: LocalCloud, account: str) -> None:
    """In this account and Region only."""
    config = cloud.session(account=account).client("config")
    [recorder] = config.describe_configuration_recorders()["ConfigurationRecorders"]
    [state] = config.describe_configuration_recorder_status()["ConfigurationRecordersStatus"]
    assert (True, True) == (recorder["recordingGroup"]["allSupported"], state["recording"])
    config.stop_configuration_recorder(ConfigurationRecorderName=recorder["name"])
    [state] = config.describe_configuration_recorder_status()["ConfigurationRecordersStatus"]
    assert not state["recording"]
    elsewhere = cloud.session(account=account, region="us-east-1").client("config")
    [state] = elsewhere.describe_configuration_recorder_status()["ConfigurationRecordersStatus"]
    assert state["recording"]
