"""On a narrow terminal, columns that can be spared are left out and named; ids stay whole."""

from __future__ import annotations

import pytest

from imdsv2_cli.commands.audit import _COLUMNS as AUDIT
from imdsv2_cli.commands.culprit import _ROWS as CULPRIT
from imdsv2_cli.commands.exempt import _ROWS as EXEMPT
from imdsv2_cli.commands.fleet_list import COLUMNS as FLEET
from imdsv2_cli.commands.guardrails import _HITS as GUARDRAILS
from imdsv2_cli.commands.selftest import _BELIEFS as BELIEFS
from imdsv2_cli.commands.sources import _SOURCES as SOURCES
from imdsv2_cli.commands.sweep import _PLACES as PLACES
from imdsv2_cli.output import Column, Table, as_table
from imdsv2_cli.steering import RESULTS
from imdsv2_cli.verdicts import VERDICTS

INSTANCE = "i-0a1b2c3d4e5f60718"
SENTENCE = (
    "No IMDSv1 call since 2026-10-25 09:00 UTC (840 hours observed). The cohort of the instance makes none either."
)
KNOWN = {
    "account": "222222222222",
    "region": "ap-southeast-2",
    "instance": INSTANCE,
    "instance_id": INSTANCE,
    "name": "web-1",
    "owner": "team-web",
    "cohort": "group:web@lt-0123456789abcdef0+3",
    "http_tokens": "optional",
    "status": "would_enforce",
    "decision": "enforce",
    "reason": "unused",
    "since": "2026-11-20 02:30",
    "calls": "0",
    "next_at": "2026-11-30 02:30",
    "explanation": SENTENCE,
    "outcome": SENTENCE,
    "kind": "approval_given",
    "at": "2026-11-20 02:30",
    "who": "arn:aws:sts::111111111111:assumed-role/Operator/alice",
}
WIDE = {
    "kind": "auto_scaling_group",
    "within": "web",
    "name": "web",
    "instance": INSTANCE,
    "target": f"arn:aws:ec2:ap-southeast-2:222222222222:instance/{INSTANCE}",
    "running": "12",
    "allowing_imdsv1": "12",
    "verdict": "already_required",
    "managers": "cloudformation",
    "languages": "aws-cli, terraform, cloudformation, cdk",
    "when": "daily at 03:00",
    "found_by": "cloudtrail",
    "version": "1.9.57",
    "first_good": "1.12.6",
    "last": "2026-11-20T11:00:00Z",
    "says": SENTENCE,
    "guardrail": "launches",
    "blocked": "yes",
    "instances": "400",
    "imdsv1_allowed": "380",
    "by_verdict": "unused=300, v1_in_use=80",
    "tag": "imdsv2:exempt-until",
    "value": "2027-05-31",
    "done": "no",
    "problem": "EC2 refuses it.",
    "belief": "tokenless-calls-are-counted",
    "outcome": "confirmed",
    "statement": SENTENCE,
    "expected": SENTENCE,
    "seen": SENTENCE,
}
"""A row for tables that lead by what is no instance, or by more."""
WIDE_TABLES = {
    "sources": (SOURCES, "web"),
    "culprit": (CULPRIT, INSTANCE),
    "guardrails": (GUARDRAILS, "web"),
    "sweep": (PLACES, "222222222222"),
    "exempt": (EXEMPT, INSTANCE),
    "selftest": (BELIEFS, "confirmed"),
}

TABLES = {
    "list": FLEET,
    "verdicts": VERDICTS,
    "results": tuple(each for each in RESULTS if each.name in KNOWN),
    "audit": AUDIT,
}


@pytest.mark.parametrize("width", [100, 120, 160, 240])
@pytest.mark.parametrize("name", TABLES)
def test_an_instance_is_on_one_line_whatever_the_width(monkeypatch: pytest.MonkeyPatch, name: str, width: int) -> None:
    """So that it can be copied; what is not there is named, and nothing is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    text = as_table(Table(TABLES[name], [KNOWN, {**KNOWN, "name": "x" * 60}]), to_screen=True)
    table, _, said = text.partition("There is no room for: ")
    assert 2 == sum(INSTANCE in line for line in table.splitlines()), text
    assert max(map(len, table.splitlines())) <= width
    assert all(each in said for each in ("A wider terminal shows all", "--output csv")) or not said
    headings = "".join(table.split("\u2500")[0].split())
    missing = [each.heading for each in TABLES[name] if not each.csv_only and each.heading in said]
    assert bool(missing) is bool(said)
    assert "instance" in headings or "target" in headings


def test_a_small_terminal_has_the_list_and_the_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 columns, as every terminal has."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    longest = {"name": "x" * 60, "reason": "exemption_unreadable", "kind": "status_changed", "because": "Change 4711."}
    for columns in (FLEET, TABLES["results"], AUDIT):
        text = as_table(Table(columns, [KNOWN, {**KNOWN, **longest}]), to_screen=True)
        assert 2 == sum(INSTANCE in line for line in text.splitlines()), text
        assert max(map(len, text.split("\n\n")[0].splitlines())) <= 80


def test_a_pipe_and_a_wide_terminal_have_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script depends on no width."""
    monkeypatch.setenv("COLUMNS", "40")
    told = as_table(Table(FLEET, [KNOWN]), to_screen=False)
    assert all(each.heading in told for each in FLEET if not each.csv_only)
    assert "no room" not in told


def test_what_cannot_be_spared_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than left out."""
    monkeypatch.setenv("COLUMNS", "20")
    told = as_table(Table((Column("one"), Column("two")), [{"one": "a" * 30, "two": "b" * 30}]), to_screen=True)
    assert (30, 30) == (told.count("a"), told.count("b"))


@pytest.mark.parametrize("width", [100, 120, 160])
@pytest.mark.parametrize("name", WIDE_TABLES)
def test_what_a_row_is_about_is_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, name: str, width: int
) -> None:
    """In every table with many columns: an account in pieces helps nobody, and what is not there is named."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    columns, about = WIDE_TABLES[name]
    text = as_table(Table(columns, [{**KNOWN, **WIDE}]), to_screen=True)
    table, _, said = text.partition("There is no room for: ")
    assert about in table, text
    assert max(map(len, table.splitlines())) <= width
    for each in columns:
        if not each.csv_only and len(value := {**KNOWN, **WIDE}.get(each.name, "")) <= 24:
            assert value in table or each.heading in said, (each.name, text)
