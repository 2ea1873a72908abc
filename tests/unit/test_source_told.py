"""What owners and operators are told of a remedy beside its text: what it replaces, and when it has to wait."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.source_name import SourceName
from imdsv2.line.sources.judging import JudgedSource
from imdsv2.line.sources.texts import owner_message
from imdsv2.source.remedies import remedies_of
from imdsv2.source.verdict import Judged, SourceVerdict
from imdsv2_cli.commands.sources import _as_text
from tests.unit.source_builders import PLACE, catalogue, mixed
from tests.unit.test_source_texts import REPLACING

if TYPE_CHECKING:
    from imdsv2.source.assembly import Source


def message(source: Source) -> str:
    """What the owner of a source reads."""
    name = SourceName(PLACE.partition, PLACE.region, PLACE.account, source.origin.kind, source.origin.name)
    judged = Judged(verdict=SourceVerdict.FIX_SOURCE, explanation="It may be changed.")
    return owner_message([JudgedSource(name=name, source=source, judged=judged)], "team-shop").text


@pytest.mark.parametrize("kind", sorted(catalogue()))
def test_an_owner_is_told_what_the_remedy_replaces(kind: str) -> None:
    """Before the text that does it."""
    source = catalogue()[kind]
    told, first = message(source), remedies_of(source)[0]
    assert first.text in told
    assert (first.replaces is not None) == ("Running instances: " in told)
    assert kind not in REPLACING or first.replaces is None or told.index(first.replaces) < told.index(first.text)


def test_half_a_command_is_sent_to_nobody() -> None:
    """A policy with hundreds of overrides does not fit: the message names the question that answers the whole text."""
    source = mixed()
    assert source.group is not None
    assert source.group.policy is not None
    template = source.group.policy["LaunchTemplate"]
    many = [*template["Overrides"], *({"InstanceType": f"m{number}.large"} for number in range(500))]
    policy = {**source.group.policy, "LaunchTemplate": {**template, "Overrides": many}}
    told = message(replace(source, group=replace(source.group, policy=policy)))
    assert "update-auto-scaling-group" not in told
    assert "too long for a message" in told
    assert "imdsv2 sources --account" in told


def printed(language: str, apply: str, replaces: str | None = None) -> list[str]:
    """A remedy as the command line prints it."""
    remedy = {"language": language, "apply": apply, "says": "It does.", "replaces_running_instances": replaces}
    source = {
        "kind": "group",
        "name": "web",
        "account": "1",
        "region": "r",
        "remedies": [{**remedy, "text": "a &&\n\nb\n"}],
    }
    return list(_as_text([source]))


def test_what_may_be_applied_is_printed_as_it_is() -> None:
    """With what it replaces as a comment."""
    assert ["a &&", "", "b", ""] == printed("aws-cli", "now")[-4:]
    assert "# Running instances: All of them." in printed("aws-cli", "now", "All of them.")
    assert not any("Running instances" in line for line in printed("aws-cli", "now"))


@pytest.mark.parametrize(("language", "mark"), [("aws-cli", "#"), ("terraform", "#"), ("cdk-typescript", "//")])
@pytest.mark.parametrize("when", ["when the hold has ended", "when every source that uses the AMI may be fixed"])
def test_what_has_to_wait_is_commented_out(language: str, mark: str, when: str) -> None:
    """Whoever pastes everything into a shell breaks nothing that is held, and sets no AMI for good."""
    lines = printed(language, when)
    assert all(not line or line.startswith(f"{mark} ") for line in lines)
    assert {f"{mark} a &&", f"{mark} b"} <= {*lines}
