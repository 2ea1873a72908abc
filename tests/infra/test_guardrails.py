"""Guardrails deny what they say and nothing else, fit into AWS's limits, and are made only where they are asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from infra.errors import SettingRefused
from infra.guardrails.options import GuardrailOptions
from infra.guardrails.policies import LONGEST_DECLARATIVE, LONGEST_SCP, Guardrail, document
from infra.names import Names
from infra.setting_checks import LONGEST_NAME_PREFIX, LONGEST_ROLE_PATH, LONGEST_ROLE_PREFIX
from tests.infra.guardrail_requests import CREDENTIALS, NAMES, OPTIONS, TABLE, denied
from tests.infra.templates import ROOT, SECURITY_ACCOUNT, Template, synthesise
from tests.infra.test_settings import settings

if TYPE_CHECKING:
    from pathlib import Path

ALL = {each.value: ["ou-ab12-cd34ef56"] for each in Guardrail}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of `python app.py` with every guardrail."""
    outdir = tmp_path_factory.mktemp("cdk") / "guarded"
    run = synthesise(outdir, guardrails={**ALL, "delivery": [], "networks": ["203.0.113.0/24"]}, selftest=True)
    assert 0 == run.returncode, run.stderr
    return outdir / "Imdsv2RemediationGuardrails.template.json"


def test_each_request_is_answered_as_expected() -> None:
    """By an evaluator that is not ours."""
    assert {each.name: each.denied for each in TABLE} == denied(TABLE)


def test_the_table_has_both_answers_for_every_policy() -> None:
    """And for every statement: without it, some request that is denied would pass."""
    assert len(TABLE) == len({each.name for each in TABLE})
    scps = [each for each in Guardrail if each.kind == "SERVICE_CONTROL_POLICY"]
    assert {(each, answer) for each in scps for answer in (True, False)} == {
        (each.guardrail, each.denied) for each in TABLE
    }


@pytest.mark.parametrize("guardrail", [each for each in Guardrail if each.kind == "SERVICE_CONTROL_POLICY"])
def test_no_statement_is_idle(guardrail: Guardrail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one of its statements, a request of the table would be answered otherwise."""
    table = [each for each in TABLE if each.guardrail == guardrail and each.denied]
    whole = document(guardrail, options=OPTIONS, names=NAMES)["Statement"]
    for left_out in whole:
        rest = [each for each in whole if each["Sid"] != left_out["Sid"]]
        monkeypatch.setattr(
            "tests.infra.guardrail_requests.document",
            lambda *_, rest=rest, **__: {"Version": "2012-10-17", "Statement": rest or [_NOTHING]},
        )
        assert not all(denied(table).values()), left_out["Sid"]


_NOTHING = {"Effect": "Deny", "Action": "sts:GetAccessKeyInfo", "Resource": "*"}


def test_without_known_networks_only_endpoints_are_looked_at() -> None:
    """Nobody whose instances reach AWS through gateways is cut off by an incomplete setting."""
    asked = [replace(each, options=GuardrailOptions()) for each in CREDENTIALS]
    answers = denied(asked)
    assert not answers["credentials: from the internet"]
    assert answers["credentials: in another VPC"]


@pytest.mark.parametrize("guardrail", list(Guardrail))
def test_policies_fit_with_the_longest_names(guardrail: Guardrail) -> None:
    """As AWS counts a policy that comes by its API: with every character, compact."""
    names = Names(
        prefix="i" * LONGEST_NAME_PREFIX,
        role_prefix="r" * LONGEST_ROLE_PREFIX,
        role_path="/" + "p" * (LONGEST_ROLE_PATH - 2) + "/",
    )
    options = GuardrailOptions(
        networks=tuple(f"203.0.113.{number}/32" for number in range(32)), selftest=True, tokens_enforced=True
    )
    text = json.dumps(document(guardrail, options=options, names=names, partition="aws-us-gov"))
    assert len(text) <= (LONGEST_DECLARATIVE if guardrail is Guardrail.DEFAULTS else LONGEST_SCP)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"credentials": [], "networks": [f"198.18.{number}.0/24" for number in range(250)]}, "guardrails.networks"),
        (
            {"openings": [], "deployers": [f"teams/team-{number:03}/deploys-*" for number in range(120)]},
            "guardrails.deployers",
        ),
    ],
)
def test_a_policy_that_would_be_too_long_is_refused(given: dict[str, Any], field: str) -> None:
    """Before anything is deployed, with the field that makes it long; where the policy is not made, it is no matter."""
    with pytest.raises(SettingRefused, match=rf"{field}.*5,120 are allowed"):
        settings(guardrails=given)
    made = {name: value for name, value in given.items() if name not in {"credentials", "openings"}}
    assert {} == settings(guardrails=made).guardrails.targets


def test_many_targets_make_no_policy_longer() -> None:
    """A hundred accounts stand beside it."""
    many = [f"{number:012}" for number in range(100)]
    assert 100 == len(settings(guardrails={"openings": many}).guardrails.targets[Guardrail.OPENINGS])


def test_the_declarative_policy_leaves_the_rest_to_the_account() -> None:
    """Tokens and hops, and only where it is asked for that launches be refused: rollbacks are refused with them."""

    def declared(**options: Any) -> Any:
        made = document(Guardrail.DEFAULTS, options=GuardrailOptions(**options), names=NAMES)["ec2_attributes"]
        assert made["exception_message"]["@@assign"]
        return made["instance_metadata_defaults"]

    assert {"http_tokens": {"@@assign": "required"}, "http_put_response_hop_limit": {"@@assign": "2"}} == declared()
    assert {"@@assign": "enabled"} == declared(tokens_enforced=True)["http_tokens_enforced"]
    assert {"@@assign": "5"} == declared(max_hop_limit=5)["http_put_response_hop_limit"]


def test_the_stack_has_what_the_command_prints(guarded: Path) -> None:
    """The same documents, with their types and targets."""
    template = Template.of(guarded, account=SECURITY_ACCOUNT)
    made = template.resources("AWS::Organizations::Policy")
    options = GuardrailOptions(networks=("203.0.113.0/24",), selftest=True)
    assert {f"imdsv2-remediation-guardrail-{each}" for each in Guardrail} == {each["Name"] for each in made.values()}
    for each in Guardrail:
        policy = made[each.capitalize()]
        assert document(each, options=options, names=NAMES) == policy["Content"]
        assert each.kind == policy["Type"]
        assert (None if each is Guardrail.DELIVERY else ["ou-ab12-cd34ef56"]) == policy.get("TargetIds")
        assert policy["Description"]


def test_policies_are_made_one_after_the_other(guarded: Path) -> None:
    """Organizations refuses concurrent changes."""
    resources = json.loads(guarded.read_text())["Resources"]
    assert [0, 1, 1, 1, 1] == sorted(len(each.get("DependsOn", [])) for each in resources.values())


@pytest.mark.parametrize("judge", ["cfn-lint", "checkov"])
def test_judges_of_templates_find_nothing(judge: str, guarded: Path) -> None:
    """CloudFormation's own schema, and checkov's rules."""
    if judge == "cfn-lint":
        command = [str(ROOT / ".venv/bin/cfn-lint"), "--template", str(guarded), "--regions", "us-east-1", "cn-north-1"]
    else:
        command = [str(ROOT / ".venv-judges/bin/checkov"), "--quiet", "--compact", "--file", str(guarded)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == run.returncode, run.stdout


def test_without_the_setting_there_is_no_stack(assembly: Path) -> None:
    """As it comes."""
    assert not (assembly / "Imdsv2RemediationGuardrails.template.json").exists()
    assert {} == settings().guardrails.targets


def test_the_command_prints_one_policy_or_all() -> None:
    """JSON, without anything beside it, whether or not the setting makes a stack."""

    def printed(*arguments: str) -> Any:
        command = [sys.executable, "-m", "infra.guardrails", *arguments]
        return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert {each.value for each in Guardrail} == printed().keys()
    assert document(Guardrail.OPENINGS, options=GuardrailOptions(), names=NAMES) == printed("openings")
    chinese = printed("launches", "--partition", "aws-cn")
    assert {"arn:aws-cn:ec2:*:*:instance/*"} == {each["Resource"][0] for each in chinese["Statement"]}


@pytest.mark.parametrize(
    ("given", "takes"),
    [
        ([], "object"),
        (None, "{}"),
        ({"launch": []}, "launches"),
        ({"launches": "ou-ab12-cd34ef56"}, "list"),
        ({"launches": ["o-a1b2c3d4e5"]}, "o-a1b2c3d4e5"),
        ({"launches": [222222222222]}, "222222222222"),
        ({"max_hop_limit": 0}, "1 to 64"),
        ({"max_hop_limit": 65}, "1 to 64"),
        ({"max_hop_limit": True}, "1 to 64"),
        ({"networks": ["203.0.113.1/24"]}, "203.0.113.1/24"),
        ({"networks": [7]}, "7"),
        ({"networks": "203.0.113.0/24"}, "list"),
        ({"tokens_enforced": "yes"}, "true or false"),
        ({"deployers": ["arn:aws:iam::222222222222:role/deploy"]}, "paths"),
        ({"deployers": ["*a"]}, "paths"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(given: Any, takes: str) -> None:
    """With its name and what it takes."""
    with pytest.raises(SettingRefused, match="guardrails") as refused:
        settings(guardrails=given)
    assert takes in str(refused.value)


def test_the_setting_is_understood_on_the_command_line() -> None:
    """`cdk deploy -c guardrails='{"launches": ["r-ab12"]}'`; the exception for the self-test follows its own setting."""
    given = settings(guardrails='{"launches": ["r-ab12"], "max_hop_limit": 3}', selftest=True).guardrails
    assert ({Guardrail.LAUNCHES: ("r-ab12",)}, 3, True) == (given.targets, given.max_hop_limit, given.selftest)
