"""Commands to the small AWS of these tests, and looks at what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.domain.request import Source
from imdsv2.people.command_request import Command
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_people
from tests.integration.builders import asked
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Judgement
    from tests.integration.builders import Cloud


def answer(cloud: Cloud, has_time: Callable[[], bool] = lambda: True, **event: Any) -> dict[str, Any]:
    """The answer of the next function instance to a command of Dora's, which is executed unless it says otherwise."""
    command = parse({"dry_run": False, "caller": "dora", **event})
    assert isinstance(command, Command)
    return build_people(cloud.function()).carry_out(command, "request-9", has_time)


def steer(cloud: Cloud, **event: Any) -> list[dict[str, Any]]:
    """The results of a command."""
    results: list[dict[str, Any]] = answer(cloud, **event)["results"]
    return results


def named(*arns: InstanceArn) -> dict[str, Any]:
    """A scope of instances by ARN."""
    return {"targets": [str(arn) for arn in arns]}


def said(results: list[dict[str, Any]]) -> list[tuple[bool, str | None]]:
    """For each result, whether it is done and what prevents it."""
    return [(result["done"], result["problem"]) for result in results]


def judge(cloud: Cloud, arn: InstanceArn, source: Source = Source.CONFIG, **how: Any) -> Judgement:
    """Evaluate an instance now."""
    outcomes = cloud.line().run([asked(arn, source, **how)], "request-1")
    assert {} == outcomes.failed
    return outcomes.judged[arn]


def reason(cloud: Cloud, arn: InstanceArn, source: Source = Source.CONFIG, **how: Any) -> str:
    """The reason of an instance's verdict now."""
    return judge(cloud, arn, source, **how).verdict.reason


def due(cloud: Cloud) -> set[InstanceArn]:
    """The instances that are due by now."""
    return set(cloud.ledger().indexes.due(cloud.clock.tick(), 100))


def events(cloud: Cloud, arn: InstanceArn, status: str) -> list[dict[str, Any]]:
    """The events that the ledger keeps permanently for changes to a status."""
    return [
        each
        for each in cloud.items()
        if each["pk"] == str(arn) and each["sk"] != "current" and each["status"] == status
    ]


def write(cloud: Cloud, arn: InstanceArn, **attributes: Any) -> None:
    """Another writer changes the ledger."""
    ledger = cloud.ledger()
    assert set() == ledger.write([change(ledger.read([arn])[arn], **attributes)], cloud.clock()).lost
