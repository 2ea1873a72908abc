"""The question what guardrails would block, asked of a whole organisation."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Barrier
from types import SimpleNamespace
from typing import Any, cast

from botocore.exceptions import ClientError

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.policy import Policy
from imdsv2.people.graduation.guardrail_request import GuardrailQuestion
from imdsv2.people.graduation.guardrails import Guardrails
from imdsv2.source.impact import Known

NOW = datetime(2027, 5, 3, 8, tzinfo=UTC)


def test_accounts_and_regions_are_looked_at_at_once_and_told_in_their_order() -> None:
    """Each takes a second or two: one after another, some hundreds of them would take longer than a function may."""
    together = Barrier(10, timeout=60)

    def refuse(*_asked: Any) -> Any:
        together.wait()
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")

    waiting = [
        InstanceArn.of(region=region, account=f"{number:012}", instance_id=f"i-{number:017x}")
        for number in range(1, 6)
        for region in ("eu-west-1", "us-east-2")
    ]
    asked = Guardrails(
        clients=cast("Any", SimpleNamespace(ec2_of_sources=refuse)),
        ledger=cast("Any", SimpleNamespace(indexes=SimpleNamespace(waiting=lambda: waiting))),
        uses=cast("Any", SimpleNamespace(told=lambda _: {}, of=lambda *_: Known(), closed_lately=lambda *_: {})),
        accounts=cast("Any", SimpleNamespace(all=list)),
        policies=cast("Any", SimpleNamespace(current=lambda _: SimpleNamespace(policy=Policy()))),
        region="eu-west-1",
        now=lambda: NOW,
    )
    answer = asked.answer(GuardrailQuestion())
    assert 10 == answer["places"]
    told = [problem.split("account ")[1].split(" cannot")[0] for problem in answer["problems"]]
    places = sorted({(each.partition, each.region, each.account) for each in waiting})
    assert [f"{account}, {region}" for _, region, account in places] == told
