"""The policy document: every field, what it takes, and what a person reads where it is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.errors import PolicyRefused
from imdsv2.policy import BootEvidence, Mode, Policy

LONGEST_MESSAGE = 400
"""A person reads it in a note or an alarm."""

DEFAULTS = {
    "mode": "observe",
    "lookback_days": 35,
    "min_observed_hours": 168,
    "min_coverage": 0.9,
    "boot_evidence": "require",
    "exempt_tag": "imdsv2:exempt-until",
    "include_accounts": [],
    "exclude_accounts": [],
    "exclude_regions": [],
}


def refused(text: str) -> PolicyRefused:
    """The complaint about a document."""
    with pytest.raises(PolicyRefused) as caught:
        Policy.from_json(text)
    message = str(caught.value)
    assert message.startswith(f"{caught.value.field}: ")
    assert len(message) <= LONGEST_MESSAGE
    message.encode()
    return caught.value


def test_an_empty_document_is_the_contracts_defaults() -> None:
    """Absent fields take their defaults, one by one."""
    assert DEFAULTS == Policy.from_json("{}").to_document()
    assert Policy() == Policy.from_json("{}")


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        *(("mode", mode.value, mode) for mode in Mode),
        ("lookback_days", 7, 7),
        ("lookback_days", 455, 455),
        ("min_observed_hours", 0, 0),
        ("min_observed_hours", 840, 840),
        ("min_coverage", 1, 1.0),
        ("min_coverage", 0.001, 0.001),
        *(("boot_evidence", word.value, word) for word in BootEvidence),
        ("exempt_tag", "x", "x"),
        ("exempt_tag", "Ausnahme bis/übermorgen", "Ausnahme bis/übermorgen"),
        ("exempt_tag", "x" * 128, "x" * 128),
        ("include_accounts", ["222222222222", "000000000000"], {"222222222222", "000000000000"}),
        ("include_accounts", [], set()),
        ("exclude_accounts", ["222222222222", "222222222222"], {"222222222222"}),
        (
            "exclude_regions",
            ["us-east-1", "ap-southeast-7", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"],
            {"us-east-1", "ap-southeast-7", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"},
        ),
    ],
)
def test_what_a_field_takes(field: str, value: object, expected: object) -> None:
    """Each valid value is read, and leaves the other fields at their defaults."""
    policy = Policy.from_json(json.dumps({field: value}))
    assert expected == getattr(policy, field)
    assert DEFAULTS | {field: policy.to_document()[field]} == policy.to_document()


MODES: list[object] = [None, "on", "OFF", "Observe", " off", "", 0, True, ["off"], {}]
NUMBERS = [True, False, None, "35", "", [35], {"days": 35}, float("nan"), float("inf"), float("-inf"), -1, 1e300]
LISTS = [None, "222222222222", 222222222222, {"222222222222": True}, [None], [["222222222222"]], [True], [""]]


@pytest.mark.parametrize(
    ("field", "value", "takes"),
    [
        *(("mode", value, '"observe"') for value in MODES),
        *(("lookback_days", value, "1 to 455") for value in (*NUMBERS, 0, 456, 35.0, 35.5, 10**300)),
        *(("min_observed_hours", value, "hours") for value in (*NUMBERS, 168.0, 0.5, 841, 10**300)),
        *(("min_coverage", value, "above 0") for value in (*NUMBERS, 0, 0.0, -0.0, 1.0001, 90, 10**300, -(10**300))),
        *(("boot_evidence", value, '"ignore"') for value in (None, "required", "IGNORE", "", False, ["ignore"])),
        *(("exempt_tag", value, "tag key") for value in (None, "", "x" * 129, "aws:x", 5, True, ["x"], {"x": "y"})),
        *(("include_accounts", value, "account ids") for value in LISTS),
        *(("exclude_accounts", value, "account ids") for value in LISTS),
        *(
            ("include_accounts", [value], "account ids")
            for value in (
                "22222222222",
                "2222222222222",
                " 222222222222",
                "222222222222\n",
                "٢٢٢٢٢٢٢٢٢٢٢٢",
                "x" * 10_000,
            )
        ),
        *(("exclude_regions", value, "Regions") for value in LISTS),
        *(
            ("exclude_regions", ["eu-west-1", value], "Regions")
            for value in ("EU-WEST-1", "eu-west", "eu-west-1a", "*", "eu-*", "Ireland", "eu-west-1 ", "eu-west-1\n")
        ),
    ],
)
def test_what_a_field_refuses(field: str, value: object, takes: str) -> None:
    """The complaint names the field and says what it takes."""
    complaint = refused(json.dumps({field: value}))
    assert field == complaint.field
    assert takes in str(complaint)


@pytest.mark.parametrize(
    ("document", "accepted"),
    [
        ({"lookback_days": 7}, True),
        ({"lookback_days": 6}, False),
        ({"lookback_days": 6, "min_observed_hours": 144}, True),
        ({"lookback_days": 6, "min_observed_hours": 145}, False),
        ({"min_observed_hours": 840}, True),
        ({"min_observed_hours": 841}, False),
        ({"lookback_days": 455, "min_observed_hours": 10_920}, True),
        ({"lookback_days": 455, "min_observed_hours": 10_921}, False),
    ],
)
def test_more_hours_than_the_window_has_are_impossible(document: dict[str, int], accepted: bool) -> None:
    """No instance could ever satisfy it; the complaint says what the window has and how to mend it."""
    if accepted:
        assert document == {name: Policy.from_json(json.dumps(document)).to_document()[name] for name in document}
        return
    complaint = refused(json.dumps(document))
    assert "min_observed_hours" == complaint.field
    assert f"{document.get('lookback_days', 35) * 24} hours" in complaint.problem
    assert "raise lookback_days" in complaint.problem


@pytest.mark.parametrize(
    "name",
    [
        "Mode",
        "lookback",
        "dry_run",
        "",
        "mode ",
        "to_document",
        "__init__",
        "x" * 10_000,
        # They arrive with later gates; until then a policy must not promise them.
        "max_enforcements_per_hour",
        "watch_hours",
        "rollback",
        "rejected_threshold",
        "canary",
        "change_calendar",
        "approval",
        "notice_hours",
        "owner_tag",
    ],
)
def test_an_unknown_field_is_refused(name: str) -> None:
    """No gate is promised that is not there; the complaint names the field and lists those there are."""
    complaint = refused(json.dumps({"mode": "enforce", name: 1}))
    assert name[:128] == complaint.field
    assert all(each.name in complaint.problem for each in fields(Policy))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"mode": "off", "mode": "enforce"}', "mode"),
        ('{"mode": "enforce", "lookback_days": 35, "mode": "enforce"}', "mode"),
        ('{"lookback_days": 35, "mode": "off", "lookback_days": 455}', "lookback_days"),
        ('{"exempt_tag": {"x": 1, "x": 2}}', "x"),
    ],
)
def test_a_field_given_twice_is_refused(text: str, name: str) -> None:
    """Of an `off` and an `enforce` nobody knows which was meant."""
    complaint = refused(text)
    assert name == complaint.field
    assert "twice" in complaint.problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "mode: observe",
        "{'mode': 'observe'}",
        '{"mode": "observe",}',
        '{"mode": "observe"} {}',
        '\ufeff{"mode": "observe"}',
        '{"mode": "obs',
        "null",
        "[]",
        '[["mode", "observe"]]',
        '"observe"',
        "true",
        "35",
        "NaN",
        "9" * 10_000,
        '{"lookback_days": ' + "9" * 10_000 + "}",
        "[" * 100_000,
        '{"mode": ' * 100_000,
    ],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """The complaint is about the document as a whole."""
    complaint = refused(text)
    assert "policy" == complaint.field
    assert "object" in complaint.problem


@pytest.mark.parametrize("field", DEFAULTS)
def test_nesting_of_any_depth_is_refused_and_never_a_crash(field: str) -> None:
    """What is parsed just so is still too deep to be shown."""
    for depth in range(900, 1000, 3):
        for text in ("[" * depth + "]" * depth, '{"x":' * depth + "1" + "}" * depth):
            assert refused(f'{{"{field}": {text}}}').field in {field, "policy"}


@pytest.mark.parametrize("document", [None, [], "observe", 35, [("mode", "off")], {"mode": "off"}.items()])
def test_a_parsed_document_must_be_an_object(document: object) -> None:
    """Settings that come from elsewhere than JSON are checked alike."""
    with pytest.raises(PolicyRefused, match=r"^policy: takes a JSON object"):
        Policy.from_document(document)


def test_the_complaint_shows_what_was_sent_and_stays_short() -> None:
    """Enough to find it, never a page of it."""
    assert '"enforced"' in str(refused('{"mode": "enforced"}'))
    refused(json.dumps({"mode": "x" * 100_000}))
    refused(json.dumps({"include_accounts": ["y" * 100_000]}))
    refused('{"mode": "\\ud800"}')


def read(text: str) -> Policy | PolicyRefused:
    """The policy, or the complaint."""
    try:
        return Policy.from_json(text)
    except PolicyRefused as complaint:
        return complaint


accounts = st.frozensets(st.from_regex(r"[0-9]{12}", fullmatch=True), max_size=3)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy that is possible."""
    lookback_days = draw(st.integers(1, 455))
    return Policy(
        mode=draw(st.sampled_from(Mode)),
        lookback_days=lookback_days,
        min_observed_hours=draw(st.integers(0, lookback_days * 24)),
        min_coverage=draw(st.floats(0, 1, exclude_min=True)),
        boot_evidence=draw(st.sampled_from(BootEvidence)),
        exempt_tag=draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)),
        include_accounts=draw(accounts),
        exclude_accounts=draw(accounts),
        exclude_regions=draw(st.frozensets(st.sampled_from(["eu-west-1", "cn-north-1", "us-gov-east-1"]))),
    )


@given(policies().filter(lambda policy: not policy.exempt_tag.startswith("aws:")))
def test_a_policy_comes_back_from_its_document(policy: Policy) -> None:
    """The ledger keeps the last good policy as JSON; nothing of it is lost, and every field is spelled out."""
    document = policy.to_document()
    assert [each.name for each in fields(Policy)] == list(document)
    assert policy == Policy.from_json(json.dumps(document)) == Policy.from_document(document)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(DEFAULTS)) | st.text(max_size=5), json_values, max_size=4))
def test_any_document_is_a_policy_or_refused_by_the_name_of_a_field(document: dict[str, Any]) -> None:
    """It never raises anything else, and what it accepts is what was written."""
    outcome = read(json.dumps(document))
    if isinstance(outcome, PolicyRefused):
        assert outcome.field in {*(name[:128] for name in document), "min_observed_hours"}
        return
    written = outcome.to_document()
    assert {name: sorted(set(value)) if isinstance(value, list) else value for name, value in document.items()} == {
        name: written[name] for name in document
    }


@given(st.text())
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    """It never raises anything but a refusal, and text that is no object is refused as a whole."""
    outcome = read(text)
    assert isinstance(outcome, Policy) or "policy" == outcome.field
