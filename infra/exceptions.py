"""What the judges of the templates find and we accept, each by its name and with its reason. There is no other place.

The judges: cdk-nag (`AwsSolutions-...`, at every synthesis, and `NIST.800.53.R5-...`), checkov (`CKV_...`), cfn-lint
(`W...`), and Prowler, of what is deployed. Tests fail for a finding that is not listed, and for an entry that matches none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, CfnResource, Validations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from constructs import IConstruct

    from infra.names import Names

BY_PATH = ("AwsSolutions-", "NIST.800.53.R5-")
"""Rules of cdk-nag, which name a construct's path; the others name a resource's logical id."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that we accept.

    Args:
        rule: the judge's name for it; `{roles}` stands for path and name of the accounts' roles, `{documents}` for the beginning of
            documents' names.
        where: paths of constructs below their stack (cdk-nag), else logical ids; `*` stands for any text.
        reason: a sentence.
    """

    rule: str
    where: str
    reason: str

    def covers(self, rule: str, where: str) -> bool:
        """Whether this is the finding. Brackets in ``where`` are none of fnmatch's: no path or logical id has any."""
        return self.rule == rule and fnmatchcase(where, self.where)


_FUNCTIONS = "Function-*/Function/Resource"
_LOGS = "*/Logs/Resource"
_RESULTS = "Sweep/Results/Resource"
_MACHINE = 'execution:{"Fn::Select":[6,{"Fn::Split":[":",{"Ref":"SweepMachineC5FF2D9C"}]}]}'
_PLACE = "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>"

_NO_RESERVE = (
    "Reserved concurrency takes from the whole account, and where the account has few it is refused. The queue, the "
    "sweep and the schedules limit what runs at once."
)
_RETRIED = (
    "Its queue keeps what fails (remediate), or the next scheduled start does its work within minutes, and alarms tell "
    "of errors and silence (revisit, guard), or the ledger's stream delivers again for a day (broadcast)."
)
_NO_VPC = "It calls AWS only, by IAM and TLS, and is called by AWS only; a network of its own would need endpoints for each service."
_LOGS_ENCRYPTED = (
    "CloudWatch encrypts every log group; there is no secret in the logs that would need a key of its own."
)
_SWEEP_RESULTS = (
    "Results of the sweep: written once, under a new name each day, kept 90 days, and made again by the next sweep."
)
_NO_BACKUP_PLAN = (
    "The table goes back to any second of the last 35 days; a plan of AWS Backup is the organisation's to make."
)
_ON_RECORD = "Its few readers and writers are on record in CloudTrail."
_OWN_KEY_OF_S3 = "S3 encrypts it with its own key; what is in it names instances and verdicts, no secrets."

ACCEPTED = (
    # Wildcards in IAM.
    Accepted("AwsSolutions-IAM5[Resource::*]", "Function-*/Role/DefaultPolicy/Resource", "X-Ray and Organizations know no resources in IAM."),
    Accepted("AwsSolutions-IAM5[Resource::*]", "Sweep/Machine/Role/DefaultPolicy/Resource", "Delivery of logs and X-Ray know no resources in IAM."),
    Accepted("AwsSolutions-IAM5[Resource::*]", "CustomAction/Policy/Resource", "ListFindingAggregators and ListAggregatorsV2 know no resources in IAM."),
    Accepted("AwsSolutions-IAM5[Resource::*]", "MemberRoles/Read/DefaultPolicy/Resource", "DescribeImages, DescribeInstances, DescribeRegions, DescribeScalingActivities, GetMetricData and ListMetrics know no resources in IAM."),
    *(
        Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:*:<AWS::AccountId>:instance/*]", f"MemberRoles/{role}/DefaultPolicy/Resource", "Any instance of the account, in any Region; which ones, policy, evidence and ledger decide.")
        for role in ("Write", "Rollback")
    ),
    *(
        Accepted(f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:iam::*:role/{{roles}}{role}]", "Function-*/Role/DefaultPolicy/Resource", "A role by its name, in whatever account has it: an account joins by creating it. In an organisation, a condition leaves out accounts outside it.")
        for role in ("read", "write", "rollback", "source")
    ),
    *(
        Accepted(f"AwsSolutions-IAM5[Resource::{resource}]", "MemberRoles/Source/DefaultPolicy/Resource", reason)
        for resource, reason in (
            ("arn:<AWS::Partition>:ec2:*:<AWS::AccountId>:launch-template/*", "Any launch template of the account that bears the service's tag, in any Region; which ones, policy, evidence and ledger decide."),
            ("arn:<AWS::Partition>:autoscaling:*:<AWS::AccountId>:autoScalingGroup:*:autoScalingGroupName/*", "Any group of the account, in any Region; which ones, policy, evidence and ledger decide."),
            ("arn:<AWS::Partition>:iam::<AWS::AccountId>:role/*", "Auto Scaling asks in the role's name whether a template's profile may be passed; by itself the role can pass none."),
            ("*", "Auto Scaling asks in the role's name whether a template may be launched, which concerns images, volumes and networks; by itself the role can launch nothing. ModifyInstanceMetadataDefaults knows no resources in IAM."),
        )
    ),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:*::image/*]", "MemberRoles/Source/DefaultPolicy/Resource", "Any AMI of the account's own, in any Region; a person names it, and confirms."),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:securityhub:<AWS::Region>:<AWS::AccountId>:hubv2/*]", "Function-*/Role/DefaultPolicy/Resource", "The newer Security Hub gives its hub an id that is not known before it is enabled."),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ssm:<AWS::Region>:*:document/*]", "Function-*/Role/DefaultPolicy/Resource", "Any calendar, those that other accounts share included; all that is read of it is open or closed."),
    Accepted("AwsSolutions-IAM5[Resource::<FunctionsweepFunction04951D66.Arn>:*]", "Sweep/Machine/Role/DefaultPolicy/Resource", "Any version of the one function."),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::<SweepResults1EB4CBE3>/*]", "Sweep/Machine/Role/DefaultPolicy/Resource", "Plan and results, in the sweep's own bucket."),
    Accepted("AwsSolutions-IAM5[Resource::<SweepResults1EB4CBE3.Arn>/*]", "Function-sweep/Role/DefaultPolicy/Resource", "What its steps hand to one another."),
    *(
        Accepted(f"AwsSolutions-IAM5[Resource::{_PLACE}:{_MACHINE}{end}]", "Sweep/Machine/DistributedMapPolicy/Resource", "Its own executions, to be redriven.")
        for end in (":*", "/*:*")
    ),
    *(
        Accepted(f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:*:<AWS::AccountId>:{kind}/*]", "MemberRoles/SelfTest/DefaultPolicy/Resource", "In whatever Region the self-test is started; tag, type and size limit what is launched, the tag what is changed.")
        for kind in ("instance", "network-interface", "security-group", "subnet", "volume")
    ),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ec2:*::image/*]", "MemberRoles/SelfTest/DefaultPolicy/Resource", "The newest image has another id each week; it has to be Amazon's."),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ssm:*:*:parameter/aws/service/ami-amazon-linux-latest/*]", "MemberRoles/SelfTest/DefaultPolicy/Resource", "Public parameters of AWS."),
    Accepted("AwsSolutions-IAM5[Resource::*]", "MemberRoles/SelfTest/DefaultPolicy/Resource", "These calls read, and most know no resources in IAM."),
    *(
        Accepted(f"AwsSolutions-IAM5[Resource::{resource}]", "MemberRoles/Capture/DefaultPolicy/Resource", reason)
        for resource, reason in (
            ("arn:<AWS::Partition>:ssm:*:<AWS::AccountId>:document/{documents}capture", "The installation's own document, in whatever Region the instance runs."),
            ("arn:<AWS::Partition>:ec2:*:<AWS::AccountId>:instance/*", "Any instance of the account, in any Region; a person names it, and confirms."),
            ("*", "GetCommandInvocation knows no resources in IAM."),
        )
    ),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:iam::*:role/{roles}capture]", "Function-*/Role/DefaultPolicy/Resource", "A role by its name, in whatever account has it, as for the others."),
    Accepted("AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:iam::*:role/{roles}selftest]", "Function-selftest/Role/DefaultPolicy/Resource", "A role by its name, in whatever account has it, as for the others."),
    Accepted("AwsSolutions-IAM5[Resource::<SweepResults1EB4CBE3.Arn>/selftest/*]", "Function-selftest/Role/DefaultPolicy/Resource", "What was seen, and the results."),
    Accepted("AwsSolutions-IAM5[Resource::<FunctionselftestFunctionB7D6FE10.Arn>:*]", "SelfTest/Machine/Role/DefaultPolicy/Resource", "Any version of the one function."),
    Accepted("AwsSolutions-IAM5[Resource::*]", "SelfTest/Machine/Role/DefaultPolicy/Resource", "Delivery of logs and X-Ray know no resources in IAM."),
    Accepted("NIST.800.53.R5-IAMNoInlinePolicy", "*/Resource", "A policy that belongs to one role and goes with it; nobody else can attach it."),
    Accepted("AwsSolutions-IAM5[Resource::*]", "Broadcast/Policy/Resource", "ListStreams knows no resources in IAM."),
    Accepted("AwsSolutions-IAM5[Resource::<LedgerTable9343E4AA.Arn>/stream/*]", "Broadcast/Policy/Resource", "A table that was restored under its name has another stream."),
    # Functions.
    Accepted("AwsSolutions-L1", _FUNCTIONS, "Python 3.13 is what the dependencies and the tests were tried with."),
    Accepted("NIST.800.53.R5-LambdaConcurrency", _FUNCTIONS, _NO_RESERVE),
    Accepted("CKV_AWS_115", "Function*", _NO_RESERVE),
    *(
        finding
        for name in ("remediate", "revisit", "guard", "broadcast")
        for finding in (
            Accepted("NIST.800.53.R5-LambdaDLQ", f"Function-{name}/Function/Resource", _RETRIED),
            Accepted("CKV_AWS_116", f"Function{name}Function*", _RETRIED),
        )
    ),
    Accepted("NIST.800.53.R5-LambdaInsideVPC", _FUNCTIONS, _NO_VPC),
    Accepted("CKV_AWS_117", "Function*", _NO_VPC),
    Accepted("CKV_AWS_173", "Function*", "The environment holds names only; Lambda encrypts it with its own key."),
    # Logs.
    Accepted("NIST.800.53.R5-CloudWatchLogGroupEncrypted", _LOGS, _LOGS_ENCRYPTED),
    Accepted("CKV_AWS_158", "*Logs*", _LOGS_ENCRYPTED),
    # What is stored.
    Accepted("NIST.800.53.R5-DynamoDBInBackupPlan", "Ledger/Table/Resource", _NO_BACKUP_PLAN),
    Accepted("AwsSolutions-S1", _RESULTS, _ON_RECORD),
    Accepted("NIST.800.53.R5-S3BucketLoggingEnabled", _RESULTS, _ON_RECORD),
    Accepted("CKV_AWS_18", "SweepResults*", _ON_RECORD),
    Accepted("NIST.800.53.R5-S3BucketReplicationEnabled", _RESULTS, _SWEEP_RESULTS),
    Accepted("NIST.800.53.R5-S3BucketVersioningEnabled", _RESULTS, _SWEEP_RESULTS),
    Accepted("CKV_AWS_21", "SweepResults*", _SWEEP_RESULTS),
    Accepted("NIST.800.53.R5-S3DefaultEncryptionKMS", _RESULTS, _OWN_KEY_OF_S3),
    # Queues.
    Accepted("AwsSolutions-SQS3", "Undelivered/Resource", "It is the dead-letter queue of the rule."),
    Accepted("CKV_AWS_27", "Undelivered*", "SQS encrypts it with its own key, which EventBridge may use without a grant; checkov looks for a key of KMS."),
    # The CDK.
    Accepted("W3005", "*", "A dependency stated twice: the CDK always states those that a reference implies."),
)  # fmt: skip

OF_PROWLER = (
    Accepted("awslambda_function_inside_vpc", "arn:*:function:*", _NO_VPC),
    Accepted("dynamodb_table_protected_by_backup_plan", "arn:*:table/*", _NO_BACKUP_PLAN),
    Accepted("s3_bucket_kms_encryption", "arn:*:s3:::*", _OWN_KEY_OF_S3),
    Accepted("s3_bucket_no_mfa_delete", "arn:*:s3:::*", _SWEEP_RESULTS),
    Accepted("s3_bucket_object_lock", "arn:*:s3:::*", _SWEEP_RESULTS),
    Accepted("s3_bucket_object_versioning", "arn:*:s3:::*", _SWEEP_RESULTS),
    Accepted("s3_bucket_server_access_logging_enabled", "arn:*:s3:::*", _ON_RECORD),
)
"""What Prowler finds on the deployed stack, of the checks that it has for Security Hub's foundational controls; ``where``: ARNs."""


def named(names: Names) -> list[Accepted]:
    """The entries for an installation with these names."""
    places = {"{roles}": names.member_roles, "{documents}": names.of("")}
    return [replace(each, rule=_filled(each.rule, places)) for each in ACCEPTED]


def _filled(rule: str, places: Mapping[str, str]) -> str:
    for place, name in places.items():
        rule = rule.replace(place, name)
    return rule


def below_stack(path: str) -> str:
    """A construct's path without its stack and stage: `Ledger/Table/Resource`."""
    return path.removeprefix("Member/").partition("/")[2]


def accept(scope: IConstruct, names: Names) -> None:
    """Tell cdk-nag of everything that is accepted in a tree of constructs."""
    by_path = [each for each in named(names) if each.rule.startswith(BY_PATH)]
    for construct in scope.node.find_all():
        if not isinstance(construct, CfnResource):
            continue
        where = below_stack(construct.node.path)
        for each in by_path:
            if fnmatchcase(where, each.where):
                Validations.of(construct).acknowledge(Acknowledgment(id=each.rule, reason=each.reason))
