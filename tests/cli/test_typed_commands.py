"""People see commands as they are typed; the payloads behind them are in JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.texts.commands import cohort_command, command
from imdsv2_cli.output import Column, Table, as_csv, as_table
from tests.cli import test_fleet, test_verdicts
from tests.cli.conftest import run
from tests.cli.test_verdicts import ARNS
from tests.world.rows import fill, row

if TYPE_CHECKING:
    from tests.cli.conftest import Aws
    from tests.cli.test_fleet import Installation
    from tests.cli.test_verdicts import Fleet

here, fleet = test_fleet.here, test_verdicts.fleet

ARN = InstanceArn.of(account="222222222222", region="eu-west-1", instance_id=f"i-{1:017x}")
SAID = f"It broke. To settle it: {command('clear', ARN)}. For all: {cohort_command('clear', 'aws/222222222222/eu-west-1/group:web')}."


def has_payload(text: str) -> bool:
    return '{"' in text or "YOUR NAME" in text


def test_explain_shows_commands_as_they_are_typed(here: Installation) -> None:
    """In a pipe as on a screen, each on a line of its own that can be pasted; JSON has the payloads."""
    fill(here.bucket, [row(1, explanation=SAID)])
    told = here.said("explain", "web-1")
    assert "To settle it: [1]. For all: [2].\n" in told
    assert f"\n  [1] imdsv2 clear {ARN}\n" in told
    assert "\n  [2] imdsv2 clear --cohort aws/222222222222/eu-west-1/group:web\n" in told
    assert not has_payload(told)
    assert SAID == json.loads(here.said("explain", "web-1", "-o", "json"))["instance"]["explanation"]


def test_a_list_for_a_spreadsheet_has_commands_as_they_are_typed(here: Installation) -> None:
    """As the rows of assess."""
    fill(here.bucket, [row(1, explanation=SAID)])
    assert not has_payload(here.said("list", "-o", "csv"))
    assert SAID == json.loads(here.said("list", "-o", "json"))["instances"][0]["explanation"]


@pytest.mark.parametrize("word", ["assess", "enforce"])
@pytest.mark.parametrize("form", ["table", "csv"])
def test_verdicts_have_commands_as_they_are_typed(aws: Aws, fleet: Fleet, word: str, form: str) -> None:
    """Whichever command asks for them."""
    fleet.changes[ARNS[1]] = {"explanation": SAID}
    told = run(word, ARNS[1], "-o", form).stdout
    assert "imdsv2 clear --cohort" in told
    assert not has_payload(told)


def test_only_sentences_of_the_service_are_read_for_commands() -> None:
    """A name that looks like a payload stays the name that it is."""
    payload = command("undo", ARN)
    table = Table((Column("name"), Column("explanation", speaks=True)), [{"name": payload, "explanation": payload}])
    [cells] = list(csv.reader(io.StringIO(as_csv(table))))[1:]
    assert [payload, f"imdsv2 undo {ARN}"] == cells
    assert payload in as_table(table, to_screen=False)


def test_a_brace_that_begins_no_command_stays_as_it_is() -> None:
    """EC2's own words may have any."""
    said = 'EC2 says {"Code": "x"} and {nothing'
    table = Table((Column("explanation", speaks=True),), [{"explanation": said}, {"explanation": None}])
    assert said in as_table(table, to_screen=False)


def test_enforce_answers_what_tokens_are_now(aws: Aws, fleet: Fleet) -> None:
    """Not what they were before the change; JSON has both, by their names."""
    [cells] = csv.DictReader(io.StringIO(run("enforce", ARNS[0], "--yes", "-o", "csv").stdout))
    assert ("enforced", "required") == (cells["status"], cells["http_tokens"])
    [cells] = csv.DictReader(io.StringIO(run("assess", ARNS[0], "-o", "csv").stdout))
    assert ("would_enforce", "optional") == (cells["status"], cells["http_tokens"])
    [result] = json.loads(run("enforce", ARNS[0], "--yes", "-o", "json").stdout)["results"]
    assert ("optional", "required") == (result["before"]["HttpTokens"], result["planned_call"]["HttpTokens"])


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({"status": "failed", "error": {"code": "InternalError", "message": "An internal error."}}, "optional"),
        ({"status": "enforcing"}, "unknown"),
        ({"status": "held", "planned_call": None}, "optional"),
        ({"status": "enforced", "planned_call": None, "before": {"HttpTokens": "required"}}, "required"),
        ({"status": "held", "planned_call": None, "before": None}, ""),
    ],
)
def test_where_nothing_was_changed_tokens_are_as_they_were(
    aws: Aws, fleet: Fleet, changes: dict[str, object], tokens: str
) -> None:
    """And where the answer was lost, nobody knows."""

    def answer(payload: dict[str, object]) -> object:
        told = fleet(payload)
        if "find" not in payload and not payload["dry_run"]:
            told["results"] = [{**each, **changes} for each in told["results"]]
        return told

    aws.on_invoke("manual", answer)
    [cells] = csv.DictReader(io.StringIO(run("enforce", ARNS[0], "--yes", "-o", "csv").stdout))
    assert tokens == cells["http_tokens"]
