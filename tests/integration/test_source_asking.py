"""Where the sweep leaves a source to people, it says how to have it changed: the command line first, as somebody types it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.instance import Place
from imdsv2.fix.survey import survey
from imdsv2.wiring.fixing import build_fixing
from imdsv2_cli.commands.sources import sources
from tests.integration import test_source_fix as fixing
from tests.integration.builders import MEMBER, REGION
from tests.integration.sourcing import template
from tests.integration.steering import steer

if TYPE_CHECKING:
    import click

    from tests.integration.builders import Cloud

defaults = fixing.defaults


def left(cloud: Cloud, **policy: Any) -> str:
    """What the sweep says of the only source there."""
    cloud.policy(**{"mode": "enforce", "source": "fix", **policy})
    does = build_fixing(cloud.function())
    several = survey(does.clients, does.ledger, does.fixes, Place("aws", REGION, MEMBER))
    [(_, ended)] = list(does.fix_all(several, None, "request-8", dry_run=False))
    return ended.why


def options(said: str) -> dict[str, Any]:
    """The options and names of the command in a text, as the command line takes them."""
    found = re.search(r"imdsv2 sources (--fix [^,]+?),? or ", said)
    assert found, said
    parsed: click.Context = sources.make_context("sources", shlex.split(found[1]))
    return dict(parsed.params)


def test_what_a_person_undid_names_an_instance(cloud: Cloud) -> None:
    """Sources have no key on the command line."""
    made = template(cloud)
    arns = fixing.proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    assert "Its next launches require tokens" in left(cloud)
    steer(cloud, undo={"source": fixing.KEY})
    asked = options(left(cloud))
    assert (True, 1) == (asked["fix"], len({*asked["instances"]} & {*map(str, arns)}))


@pytest.mark.parametrize("shared", [True, False])
def test_what_waits_for_approval_names_its_place(cloud: Cloud, shared: bool) -> None:
    """Whatever it launches from."""
    launching = {"LaunchTemplateId": template(cloud), **({} if shared else {"Version": "1"})}
    fixing.proved(cloud, LaunchTemplate=launching)
    asked = options(left(cloud, approval="required"))
    assert (True, MEMBER, REGION) == (asked["fix"], asked["account"], asked["in_region"])
