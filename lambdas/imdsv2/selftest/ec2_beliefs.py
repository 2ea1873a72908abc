"""What the code takes for granted about EC2."""

from __future__ import annotations

from imdsv2.selftest import ec2_checks, witnesses
from imdsv2.selftest.belief import Belief, Source, Witness

EC2_BELIEFS: tuple[Belief, ...] = (
    Belief(
        id="dry-run-code",
        statement="EC2 answers a permitted dry run with DryRunOperation.",
        witness=witnesses.ERRORS,
        check=ec2_checks.dry_run_code,
        if_wrong="`permitted` in dry runs, and the permissions check, have no answer.",
    ),
    Belief(
        id="unknown-id-code",
        statement="EC2 answers an id that it does not know with InvalidInstanceID.NotFound.",
        witness=witnesses.ERRORS,
        check=ec2_checks.unknown_id_code,
        if_wrong="It holds instances that are gone as `unreachable`.",
    ),
    Belief(
        id="malformed-id-code",
        statement="EC2 answers something that is no id with InvalidInstanceID.Malformed.",
        witness=witnesses.ERRORS,
        check=ec2_checks.malformed_id_code,
        if_wrong="It holds instances that cannot exist as `unreachable`.",
    ),
    Belief(
        id="terminated-id-code",
        statement="EC2 refuses a change of a terminated instance with IncorrectInstanceState or InvalidInstanceID.NotFound.",
        witness=witnesses.NONE,
        check=ec2_checks.terminated_id_code,
        if_wrong="It records `failed` with EC2's code, and looks again.",
    ),
    Belief(
        id="managed-resources-accepted",
        statement="DescribeInstances takes IncludeManagedResources.",
        witness=Witness(Source.MODEL, "ec2, DescribeInstances"),
        check=ec2_checks.managed_resources_accepted,
        if_wrong="It cannot list instances that AWS hides by default because a service manages them.",
    ),
    Belief(
        id="tokens-alone-accepted",
        statement="HttpTokens=required alone is accepted on a running instance whose endpoint is enabled.",
        witness=witnesses.RECORDED,
        check=ec2_checks.tokens_alone_accepted,
        if_wrong="It looks again and repeats the call with HttpEndpoint=enabled, as EC2 demands.",
    ),
    Belief(
        id="other-options-stay",
        statement="Options that a call does not send keep their values.",
        witness=witnesses.MODIFY,
        check=ec2_checks.other_options_stay,
        if_wrong="A change could cut containers off (hop limit) or open an endpoint.",
        for_safety=True,
    ),
    Belief(
        id="change-is-shown",
        statement="DescribeInstances shows a change within ten minutes, and the old state never after that.",
        witness=witnesses.CONSISTENCY,
        check=ec2_checks.change_is_shown,
        if_wrong="It takes the old state for a person's change, and holds the instance as `changed_back`.",
    ),
    Belief(
        id="closed-endpoint-stays-closed",
        statement="HttpTokens sent alone never enables a metadata endpoint that is disabled.",
        witness=witnesses.NONE,
        check=ec2_checks.closed_endpoint_stays_closed,
        if_wrong="A person who disables an endpoint between the look and the change finds it enabled again.",
        for_safety=True,
    ),
    Belief(
        id="closed-endpoint-code",
        statement="EC2 refuses HttpTokens alone on a disabled endpoint with InvalidParameterValue about HttpEndpoint, or takes it.",
        witness=witnesses.RECORDED,
        check=ec2_checks.closed_endpoint_code,
        if_wrong="It records `failed` with EC2's code.",
    ),
    Belief(
        id="reboot-keeps-launch-time",
        statement="A reboot does not move LaunchTime.",
        witness=witnesses.LIFECYCLE,
        check=ec2_checks.reboot_keeps_launch_time,
        if_wrong="It asks for evidence of the reboot as of any start, and watches again after it.",
    ),
    Belief(
        id="start-moves-launch-time",
        statement="A stop and a start move LaunchTime.",
        witness=witnesses.LIFECYCLE,
        check=ec2_checks.start_moves_launch_time,
        if_wrong="It takes boot software for observed that has not run since, and does not watch restarts.",
        for_safety=True,
    ),
    Belief(
        id="attach-time-stays",
        statement="The attach time of the primary network interface is the first launch, and stays.",
        witness=witnesses.NONE,
        check=ec2_checks.attach_time_stays,
        if_wrong="The window begins too late and leaves out earlier IMDSv1 calls.",
        for_safety=True,
    ),
    Belief(
        id="stop-time-is-readable",
        statement="StateTransitionReason of a stopped instance holds the time of the stop.",
        witness=witnesses.RECORDED,
        check=ec2_checks.stop_time_is_readable,
        if_wrong="It looks for the stop in CPUUtilization, and holds the instance if there is none.",
    ),
    Belief(
        id="required-outlasts-restarts",
        statement="Tokens stay required through a reboot, and through a stop and a start.",
        witness=witnesses.MODIFY,
        check=ec2_checks.required_outlasts_restarts,
        if_wrong="It takes the reset for a person's change, and holds the instance as `changed_back`.",
    ),
    Belief(
        id="stopped-takes-changes",
        statement="A change of a stopped instance is carried out, and is in force after its start.",
        witness=witnesses.MODIFY,
        check=ec2_checks.stopped_takes_changes,
        if_wrong="It records `failed`, or takes the lost change for a person's and holds the instance as `changed_back`.",
    ),
)
