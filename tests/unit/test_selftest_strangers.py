"""What others do to a self-test: policies that are not its own, and instances that only bear its tag."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from imdsv2.selftest.account import Account
from imdsv2.selftest.agenda import INSTANCES
from imdsv2.selftest.order import parse_order
from imdsv2.selftest.report import judged
from imdsv2.selftest.result import Outcome
from tests.unit.selftest_seen import answered, clean
from tests.unit.test_selftest_edges import Client
from tests.unit.test_selftest_steps import EXECUTION, IMAGES, KEYS, Bucket, Session, event, launching, selftest

REFUSED = "UnauthorizedOperation"
MODIFY = "ec2:ModifyInstanceMetadataOptions"
OF_OTHERS = (
    f"not authorized to perform {MODIFY} with an explicit deny in a service control policy",
    f"not authorized to perform {MODIFY} because no service control policy allows the {MODIFY} action",
    f"not authorized to perform {MODIFY} because no permissions boundary allows the {MODIFY} action",
    f"not authorized to perform {MODIFY} with an explicit deny in a resource control policy",
)
OF_THE_ROLE = f"not authorized to perform {MODIFY} because no identity-based policy allows the {MODIFY} action"
OF_THE_SESSION = f"not authorized to perform {MODIFY} because no session policy allows the {MODIFY} action"


def outcome(seen: Any, belief: str) -> tuple[str, str]:
    """What is said of a belief, and why."""
    [row] = [row for row in judged(seen) if row["belief"] == belief]
    return row["outcome"], row["seen"]


@pytest.mark.parametrize("why", OF_OTHERS)
@pytest.mark.parametrize("belief", ["tokens sent", "options sent", "endpoint now"])
def test_a_refusal_by_the_organisation_says_nothing_of_a_key(belief: str, why: str) -> None:
    """It would be taken for a contradicted belief, and set the policy to `observe`; or for a confirmed one."""
    for half, code in (("with", "without"), ("without", "with")):
        seen = answered(clean(), f"{belief}: {half}", REFUSED, why)
        said, reason = outcome(seen, f"key-{belief.replace(' ', '-')}")
        assert (Outcome.NOT_TRIED, True) == (said, why.rstrip(".") in reason), code
        assert "Except the role" in reason


def test_a_refusal_by_the_policy_that_is_tried_is_judged() -> None:
    """And one whose words name no policy."""
    for why in (OF_THE_SESSION, OF_THE_ROLE, "You are not authorized to perform this operation."):
        refused = answered(clean(), "options sent: without", REFUSED, why)
        assert Outcome.CONFIRMED == outcome(refused, "key-options-sent")[0]
        both = answered(refused, "options sent: with", REFUSED, why)
        assert Outcome.CONTRADICTED == outcome(both, "key-options-sent")[0]


def test_an_instance_that_only_bears_the_tag_is_left_alone() -> None:
    """Somebody tagged it, or launched it in the console from one that had the tag."""
    ec2 = launching()
    selftest(Bucket(), ec2=ec2, ssm=IMAGES).launch(event())
    own = [sent["ClientToken"] for name, sent in ec2.sent if name == "run_instances"]
    shown = [
        *({"InstanceId": f"i-own{number}", "ClientToken": token} for number, token in enumerate(own)),
        {"InstanceId": "i-alike", "ClientToken": "f3c1a0de-0000-4000-8000-3b1f0e6d5c4a"},
        {"InstanceId": "i-untold"},
    ]
    looks = Client(
        describe_instances=lambda **_sent: {"Reservations": [{"Instances": shown}]},
        terminate_instances=lambda **_sent: {},
    )
    told = {"name": EXECUTION, "status": "ABORTED", "input": json.dumps(event()["input"])}
    ended = selftest(Bucket(), ec2=looks).end_left(told)["ended"]
    assert [*(f"i-own{number}" for number in range(len(INSTANCES))), "i-untold"] == ended


def test_executions_whose_names_end_differently_launch_instances_of_their_own() -> None:
    """EC2 would answer a token that it knows with the instances of the execution before, or refuse the launch."""

    def tokens(execution: str) -> list[str]:
        ec2 = launching()
        selftest(Bucket(), ec2=ec2, ssm=IMAGES).launch({**event(), "execution": execution})
        return [sent["ClientToken"] for name, sent in ec2.sent if name == "run_instances"]

    alike = "before-we-enforce-in-production-account-of-the-shop-eu-central-1"
    first, second = tokens(f"{alike}-1"), tokens(f"{alike}-2")
    assert not {*first} & {*second}
    assert all(len(each) <= 64 for each in (*first, *second))


@pytest.mark.parametrize("execution", ["März (2)", "it's-time!", "x" * 80])
def test_any_name_of_an_execution_makes_a_session_that_sts_takes(execution: str) -> None:
    """Step Functions takes more characters than STS does, and more of them."""
    sts = Client(assume_role=lambda **_sent: {"Credentials": KEYS})
    order = parse_order({"account": "222222222222", "region": "eu-west-1"})
    Account(Session(ec2=Client()), sts, order, "selftest", execution).client("ec2")  # type: ignore[arg-type]
    [(_, sent)] = sts.sent
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", sent["RoleSessionName"], re.ASCII)
