"""Which instances there are, by the names that people give them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from imdsv2.people.find_request import FindQuestion
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_finder
from tests.integration.builders import MEMBER, OTHER, REGION, asked
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

THERE = {"account": MEMBER, "region": REGION}


def find(cloud: Cloud, **given: Any) -> dict[str, Any]:
    """The answer of a new function instance, as it is sent."""
    search = parse({"find": given})
    assert isinstance(search, FindQuestion)
    answer: dict[str, Any] = json.loads(json.dumps(build_finder(cloud.function()).answer(search)))
    return answer


def names(answer: dict[str, Any]) -> list[str | None]:
    return sorted(each["name"] for each in answer["results"])


def test_a_name_finds_every_instance_that_bears_it(cloud: Cloud) -> None:
    """Names need not be unique: whoever asks decides."""
    cloud.launch(count=2, tags={"Name": "web"})
    cloud.launch(tags={"Name": "db"})
    answer = find(cloud, names=["web"], **THERE)
    assert (2, ["web", "web"], []) == (answer["count"], names(answer), answer["unknown"])
    assert {"optional"} == {each["http_tokens"] for each in answer["results"]}


def test_tags_have_to_fit_all(cloud: Cloud) -> None:
    """With names and without."""
    cloud.launch(tags={"Name": "a", "team": "blue", "stage": "prod"})
    cloud.launch(tags={"Name": "b", "team": "blue"})
    assert ["a", "b"] == names(find(cloud, tags={"team": "blue"}, **THERE))
    assert ["a"] == names(find(cloud, tags={"team": "blue", "stage": "prod"}, **THERE))
    assert [] == names(find(cloud, names=["b"], tags={"stage": "prod"}, **THERE))


def test_a_star_in_a_name_is_a_star(cloud: Cloud) -> None:
    """In EC2's filters it stands for anything."""
    cloud.launch(tags={"Name": "web-1"})
    assert 0 == find(cloud, names=["web-*"], **THERE)["count"]


def test_an_unknown_name_is_told_with_the_likely_one(cloud: Cloud) -> None:
    """A name, or an id."""
    [arn] = cloud.launch(tags={"Name": "payments-api"})
    wrong = arn.instance_id[:-1] + ("0" if arn.instance_id[-1] != "0" else "1")
    answer = find(cloud, names=["paiments-api", wrong, "zzz"], **THERE)
    assert [("paiments-api", "payments-api"), (wrong, arn.instance_id), ("zzz", None)] == [
        (each["name"], each["likely"]) for each in answer["unknown"]
    ]


def test_without_an_account_it_looks_where_the_ledger_knows_instances(cloud: Cloud) -> None:
    """By id, too."""
    [arn] = cloud.launch(tags={"Name": "web"})
    nowhere = find(cloud, names=["web"])
    assert (0, ["The ledger knows no instance yet: name the account and the Region."]) == (
        nowhere["count"],
        nowhere["problems"],
    )
    cloud.line().run([asked(arn)], "request-1")
    for named in ({"names": ["web"]}, {"names": [arn.instance_id]}, {"account": MEMBER}, {"region": REGION}):
        assert [str(arn)] == [each["target"] for each in find(cloud, **named)["results"]]
    elsewhere = find(cloud, names=["web"], region="us-east-1")
    assert (0, 1) == (elsewhere["count"], len(elsewhere["problems"]))
    assert "us-east-1 yet, so nothing was searched: name the account" in elsewhere["problems"][0]


def test_places_are_looked_at_beside_those_of_the_ledger(cloud: Cloud) -> None:
    """Whoever asks may know more of them; an account and a Region narrow these, too."""
    [here] = cloud.launch(tags={"Name": "web", "team": "blue"})
    there = {"account": MEMBER, "region": "us-east-1"}
    nothing = find(cloud, tags={"team": "blue"}, places=[there])
    assert (0, []) == (nothing["count"], nothing["problems"])
    asked_in = {"tags": {"team": "blue"}, "places": [there, THERE]}
    assert [str(here)] == [each["target"] for each in find(cloud, **asked_in)["results"]]
    assert 0 == find(cloud, **asked_in, region="us-east-1")["count"]
    assert 0 == find(cloud, **asked_in, account="333333333333")["count"]


def test_an_account_that_the_ledger_does_not_know_is_searched_at_home(cloud: Cloud) -> None:
    """And the answer says that there may be more."""
    [arn] = cloud.launch(tags={"Name": "web"})
    answer = find(cloud, account=MEMBER)
    assert [str(arn)] == [each["target"] for each in answer["results"]]
    assert ["name the Region"] == [each.rpartition(": ")[2].rstrip(".") for each in answer["problems"]]


def test_what_cannot_be_read_is_told_in_the_order_of_accounts_and_regions(cloud: Cloud) -> None:
    """Whichever of them answers first."""
    last_has_answered = threading.Event()

    def refuse(call: Call) -> None:
        if call.account == MEMBER:
            assert last_has_answered.wait(60)
        else:
            last_has_answered.set()
        raise refusal("UnauthorizedOperation", "no", call.operation)

    cloud.wire.on("DescribeInstances", refuse)
    places = [{"account": account, "region": REGION} for account in (OTHER, MEMBER)]
    told = find(cloud, names=["web"], places=places)["problems"]
    assert [MEMBER, OTHER] == [each.split("account ")[1].split(",")[0] for each in told]


def test_an_account_out_of_scope_is_not_entered(cloud: Cloud) -> None:
    """As in every other way in."""
    cloud.policy(exclude_accounts=[MEMBER])
    answer = find(cloud, names=["web"], **THERE)
    assert (0, 1) == (answer["count"], len(answer["problems"]))
    assert [] == cloud.wire.made("DescribeInstances")
