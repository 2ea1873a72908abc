"""Two installations live in one account, and an organisation's demands on roles are met."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

import app
from imdsv2.version import VERSION_TAG
from infra.names import Names
from tests.infra.templates import MEMBER_ACCOUNT, REGION, SECURITY_ACCOUNT, Template, synthesise

if TYPE_CHECKING:
    from pathlib import Path

    from tests.infra.templates import Json

PILOT = "imdsv2-pilot"
CONFORMING: dict[str, Any] = {
    "role_prefix": "acme-",
    "role_path": "/security/imds/",
    "role_permissions_boundary": "limits/Baseline",
}
NAMING = (
    ("AWS::CloudFormation::StackSet", "StackSetName"),
    ("AWS::CloudWatch::Alarm", "AlarmName"),
    ("AWS::CloudWatch::Dashboard", "DashboardName"),
    ("AWS::Events::EventBus", "Name"),
    ("AWS::Events::Rule", "Name"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::KMS::Alias", "AliasName"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::Scheduler::Schedule", "Name"),
    ("AWS::StepFunctions::StateMachine", "StateMachineName"),
    ("Custom::FirstPolicy", "Name"),
    ("Custom::SecurityHubActionTarget", "ActionId"),
    ("Custom::SecurityHubActionTarget", "Name"),
)


@pytest.fixture(scope="module")
def pilot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The assembly of an installation with another name, whose organisation demands something of roles."""
    outdir = tmp_path_factory.mktemp("names") / "pilot"
    organization = {"organization_id": "o-a1b2c3d4e5", "organizational_units": ["ou-ab12-cd34ef56"]}
    run = synthesise(
        outdir, name_prefix=PILOT, config_rule_names=["require-imdsv2", "EC2 tokens"], **organization, **CONFORMING
    )
    assert 0 == run.returncode, run.stderr
    return outdir


@pytest.fixture(scope="module")
def service(pilot: Path) -> Template:
    """Its service, in the security account."""
    return Template.of(pilot / "Imdsv2Pilot.template.json", account=SECURITY_ACCOUNT)


@pytest.fixture(scope="module")
def roles(pilot: Path) -> Template:
    """Its roles, in a member account."""
    path = pilot / "Imdsv2PilotMember.template.json"
    return Template.of(path, account=MEMBER_ACCOUNT, SecurityAccountId=SECURITY_ACCOUNT)


@pytest.fixture(scope="module")
def forwarding(pilot: Path) -> Template:
    """Its forwarding rule, in another Region of a member account."""
    path = pilot / "Imdsv2PilotForwarding.template.json"
    where = {"SecurityAccountId": SECURITY_ACCOUNT, "HomeRegion": REGION}
    return Template.of(path, account=MEMBER_ACCOUNT, region="us-east-1", **where)


def names_in(template: Template) -> set[tuple[str, str]]:
    """Every name that AWS would refuse a second time in the account and Region."""
    return {
        (kind, str(resource[property_]))
        for kind, property_ in NAMING
        for resource in template.resources(kind).values()
        if property_ in resource
    }


def test_a_pilot_and_production_share_no_name(service: Template, organization_template: Template) -> None:
    """In the security account."""
    ours, theirs = names_in(service), names_in(organization_template)
    kinds = {kind for kind, _ in theirs}
    assert {kind for kind, _ in NAMING} == kinds == {kind for kind, _ in ours}
    on_buses = {each for each in theirs if each[0] == "AWS::Events::Rule"}
    assert on_buses
    assert set() == ours & theirs


def test_a_pilot_and_production_share_no_name_in_members(
    roles: Template, forwarding: Template, member_template: Template, forwarding_template: Template
) -> None:
    """Neither roles nor rules."""
    assert set() == names_in(roles) & names_in(member_template)
    assert set() == names_in(forwarding) & names_in(forwarding_template)


def test_every_name_of_a_pilot_is_its_own(pilot: Path) -> None:
    """The product's name stands in descriptions and in the tag that tells its version, and in no name, pattern, policy or variable."""
    for path in pilot.glob("Imdsv2Pilot*.template.json"):
        named = json.dumps(without_descriptions(json.loads(path.read_text()))).replace(VERSION_TAG, "")
        assert "imdsv2-remediation" not in named, path.name


def without_descriptions(value: Any) -> Any:
    """A template without texts for people; the templates inside StackSets are looked at on their own."""
    if isinstance(value, dict):
        prose = ("Description", "AlarmDescription", "TemplateBody")
        return {name: without_descriptions(each) for name, each in value.items() if name not in prose}
    return [without_descriptions(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("stack", ["service", "roles", "forwarding"])
def test_every_role_conforms(stack: str, request: pytest.FixtureRequest) -> None:
    """Prefix, path and boundary, those included whose names CloudFormation would generate."""
    template: Template = request.getfixturevalue(stack)
    found = template.resources("AWS::IAM::Role")
    assert found
    for role in found.values():
        assert role["RoleName"].startswith("acme-imdsv2-pilot-")
        assert len(role["RoleName"]) <= 64
        assert "/security/imds/" == role["Path"]
        assert f"arn:aws:iam::{template.account}:policy/limits/Baseline" == role["PermissionsBoundary"]
    assert len(found) == len({role["RoleName"] for role in found.values()})


def test_a_role_that_is_regional_has_a_name_in_each_region(forwarding: Template) -> None:
    """IAM is global, and the rule is deployed once in each Region."""
    assert forwarding.one("AWS::IAM::Role")["RoleName"].endswith("-us-east-1")


def test_roles_trust_the_functions_by_path_and_name(service: Template, roles: Template) -> None:
    """An ARN without the path would be another role's."""
    read = roles.one("AWS::IAM::Role", RoleName="acme-imdsv2-pilot-read")
    [statement] = read["AssumeRolePolicyDocument"]["Statement"]
    trusted = statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
    assert f"arn:aws:iam::{SECURITY_ACCOUNT}:role/security/imds/acme-imdsv2-pilot-fn-guard" in trusted
    function = service.one("AWS::Lambda::Function", FunctionName="imdsv2-pilot-guard")
    variables = function["Environment"]["Variables"]
    assert "security/imds/acme-imdsv2-pilot-" == variables["MEMBER_ROLES"]
    entering = [
        resource
        for document in service.policies_of("acme-imdsv2-pilot-fn-guard")
        for each in document["Statement"]
        if each["Action"] == "sts:AssumeRole"
        for resource in each["Resource"]
    ]
    role_of_member = f"arn:aws:iam::*:role/{variables['MEMBER_ROLES']}"
    assert [f"{role_of_member}{role}" for role in ("read", "rollback", "source")] == entering


@pytest.mark.parametrize(
    ("name", "variables"), [("remediate", ("CUSTOM_ACTION_ID", "CONFIG_RULE_NAMES")), ("check", ())]
)
def test_functions_are_told_their_names(name: str, variables: tuple[str, ...], service: Template) -> None:
    """The code knows none."""
    told: Json = service.one("AWS::Lambda::Function", FunctionName=f"imdsv2-pilot-{name}")["Environment"]["Variables"]
    action = service.one("Custom::SecurityHubActionTarget")["ActionId"]
    expected = {
        "MANUAL_FUNCTION": "imdsv2-pilot-manual",
        "POWERTOOLS_SERVICE_NAME": "imdsv2-pilot",
        "CUSTOM_ACTION_ID": action,
        "CONFIG_RULE_NAMES": "EC2 tokens\nrequire-imdsv2",
    }
    asked = ("MANUAL_FUNCTION", "POWERTOOLS_SERVICE_NAME", *variables)
    assert {each: expected[each] for each in asked} == {each: told[each] for each in asked}


def test_alarms_watch_the_metrics_of_their_own_installation(service: Template) -> None:
    """Both publish in one namespace; the dimension tells them apart."""
    alarm = service.one("AWS::CloudWatch::Alarm", AlarmName="imdsv2-pilot-policy-refused")
    assert [{"Name": "service", "Value": "imdsv2-pilot"}] == alarm["Dimensions"]


def test_members_forward_what_the_bus_takes(service: Template, forwarding: Template) -> None:
    """The same names of Config rules in the members' rule and on both buses."""
    rule = forwarding.one("AWS::Events::Rule", Name="imdsv2-pilot-forward")
    central = service.one("AWS::Events::Rule", Name="imdsv2-pilot-config", EventBusName="imdsv2-pilot")
    assert central["EventPattern"] == rule["EventPattern"]
    assert {"equals-ignore-case": "require-imdsv2"} in rule["EventPattern"]["detail"]["configRuleName"]


def test_security_hub_takes_the_names_of_a_custom_action() -> None:
    """20 characters at most, the id letters and digits only."""
    for prefix in ("imdsv2-remediation", "imdsv2-pilot", "a-" + "b" * 22):
        names = Names(prefix=prefix)
        assert names.custom_action_id.isalnum()
        assert max(len(names.custom_action_id), len(names.custom_action_name)) <= 20


@pytest.mark.parametrize(
    ("prefix", "namesake"),
    [
        ("x-2", "x2"),
        ("team-7-pilot", "team7-pilot"),
        ("a-1-2", "a12"),
        ("imdsv2-remediation", None),
        ("x2", None),
        ("a-b2", None),
    ],
)
def test_a_prefix_whose_stack_another_one_would_have_is_known(prefix: str, namesake: str | None) -> None:
    """The one that can be named from it; no stack is called otherwise than before."""
    names = Names(prefix=prefix)
    assert namesake == names.namesake
    if namesake is not None:
        assert names.service_stack == Names(prefix=namesake).service_stack


def test_prefixes_without_a_namesake_have_stacks_of_their_own() -> None:
    """Of all that can be made of a few parts."""
    parts = ("a", "b", "ab", "a2", "2", "2b")
    prefixes = {"-".join(each) for size in (1, 2, 3) for each in itertools.product(parts, repeat=size)}
    taken = [Names(prefix=each) for each in sorted(prefixes) if not each[0].isdigit()]
    stacks = [each.service_stack for each in taken if each.namesake is None]
    assert len(stacks) == len(set(stacks)) > 60


def test_whoever_deploys_is_told_of_a_namesake(capsys: pytest.CaptureFixture[str]) -> None:
    """With what to do; the deployment goes on."""
    app._tell_namesake(Names(prefix="x-2"))
    said = capsys.readouterr().err
    assert "name_prefix x-2 and name_prefix x2 both make the stack X2" in said
    assert "call a new one otherwise" in said
    app._tell_namesake(Names())
    assert "" == capsys.readouterr().err
