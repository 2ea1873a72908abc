"""What the code takes for granted about IAM, and about AWS around it."""

from __future__ import annotations

from imdsv2.selftest import line_checks, permission_checks, reboot_checks, service_checks, witnesses
from imdsv2.selftest.belief import Belief, Source, Witness

SERVICE_BELIEFS: tuple[Belief, ...] = (
    Belief(
        id="key-tokens-sent",
        statement="The IAM key `ec2:Attribute/HttpTokens` carries the value that a call sends.",
        witness=witnesses.KEYS,
        check=permission_checks.tokens_sent_key,
        if_wrong="The write role can change nothing; or it could make tokens optional.",
        for_safety=True,
    ),
    Belief(
        id="key-options-sent",
        statement="The IAM key `ec2:Attribute` carries the names of all options that a call sends.",
        witness=witnesses.NONE,
        check=permission_checks.options_sent_key,
        if_wrong="Only the code, and no role, keeps the service from changing other options.",
    ),
    Belief(
        id="key-endpoint-now",
        statement="The IAM key `ec2:MetadataHttpEndpoint` carries the endpoint as it is before the call.",
        witness=witnesses.NONE,
        check=permission_checks.endpoint_now_key,
        if_wrong="Only the code, and no role, keeps the service from changing an instance whose endpoint is disabled.",
    ),
    Belief(
        id="roles-are-as-meant",
        statement="The account's write and rollback roles permit what the service needs and nothing else.",
        witness=witnesses.NONE,
        check=permission_checks.roles_are_as_meant,
        if_wrong="It cannot enforce or roll back, or it may do more than it says.",
        for_safety=True,
    ),
    Belief(
        id="line-enforces",
        statement="The service enforces an instance: ledger, tag, EC2, read-back.",
        witness=witnesses.NONE,
        check=line_checks.line_enforces,
        if_wrong="It enforces nothing.",
    ),
    Belief(
        id="line-rolls-back",
        statement="The guard rolls an instance back whose software has IMDSv1 calls refused.",
        witness=witnesses.NONE,
        check=line_checks.line_rolls_back,
        if_wrong="Broken software stays broken until a person acts.",
        for_safety=True,
    ),
    Belief(
        id="config-event-arrives",
        statement="Config's compliance change of an instance reaches the service through the encrypted queue.",
        witness=witnesses.CONFIG,
        check=service_checks.config_event_arrives,
        if_wrong="It learns of the instance from Security Hub or from the nightly sweep.",
    ),
    Belief(
        id="security-hub-finding-arrives",
        statement="Security Hub's finding (EC2.8) of an instance reaches the service through the encrypted queue.",
        witness=witnesses.HUB,
        check=service_checks.security_hub_finding_arrives,
        if_wrong="It learns of the instance from Config or from the nightly sweep, and annotates no finding.",
    ),
    Belief(
        id="security-hub-v2-finding-arrives",
        statement="The newer Security Hub's finding of an instance reaches the service through the encrypted queue.",
        witness=witnesses.HUB_V2,
        check=service_checks.security_hub_v2_finding_arrives,
        if_wrong="It learns of the instance from the older Security Hub, from Config or from the nightly sweep.",
    ),
    Belief(
        id="security-hub-v2-answers",
        statement="GetFindingsV2 answers the service's question whether a finding is suppressed.",
        witness=Witness(Source.MODEL, "securityhub, GetFindingsV2"),
        check=service_checks.hub_v2_answers,
        if_wrong="It holds instances that the newer Security Hub reports.",
    ),
    Belief(
        id="stack-sets-are-current",
        statement="The StackSets have deployed the member templates to every account of the organizational units.",
        witness=witnesses.STACK_SETS,
        check=service_checks.stack_sets_are_current,
        if_wrong="It holds the instances of the other accounts as `unreachable`.",
    ),
    Belief(
        id="reboots-on-record",
        statement="CloudTrail tells of each RebootInstances that EC2 accepted, with the instance and the time.",
        witness=witnesses.TRAIL,
        check=reboot_checks.reboots_on_record,
        if_wrong="It holds instances as `boot_not_observable` until they are started anew, or a person speaks for them.",
    ),
    Belief(
        id="reboots-are-made",
        statement="An instance whose RebootInstances EC2 accepted boots again within a few minutes.",
        witness=witnesses.REBOOT,
        check=reboot_checks.reboots_are_made,
        if_wrong="It takes two quiet hours for an observed start that were none, and what calls IMDSv1 at boot fails at the next one.",
        for_safety=True,
    ),
)
