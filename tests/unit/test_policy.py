"""The policy document: every field, its accepted values, and the message for a refused value."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.policy import Approval, BootEvidence, Canary, Digest, Mode, Policy, RollbackMode, SourceMode, Watch
from imdsv2.errors import PolicyRefused

LONGEST_MESSAGE = 520
"""A person reads it in a note or an alarm."""

LONGEST_NAME = 64
"""The maximum length of a field's name in a complaint."""

DEFAULTS: dict[str, Any] = {
    "mode": "observe",
    "lookback_days": 35,
    "min_observed_hours": 168,
    "min_coverage": 0.9,
    "boot_evidence": "require",
    "exempt_tag": "imdsv2:exempt-until",
    "include_accounts": [],
    "exclude_accounts": [],
    "exclude_regions": [],
    "max_enforcements_per_hour": 50,
    "watch_hours": 24,
    "watch": "fast",
    "rollback": "auto",
    "rejected_threshold": 1,
    "rejected_periods": 2,
    "rollback_tag": "imdsv2:rollback",
    "max_gap_hours": 24,
    "min_clean_starts": 3,
    "cohort_evidence": True,
    "canary": {"share": 0.1, "hours": 24},
    "cohort_tag": None,
    "change_calendar": None,
    "approval": "none",
    "notice_hours": 0,
    "owner_tag": "owner",
    "source": "report",
    "digest": "daily",
    "max_exemption_days": 400,
}

CALENDAR = "arn:aws:ssm:eu-west-1:111111111111:document/Freeze"
CALENDARS = (
    "abc",
    "Year-end_freeze.2026",
    "x" * 128,
    CALENDAR,
    f"arn:aws:ssm:ap-southeast-7:222222222222:document/{'x' * 128}",
    "arn:aws-cn:ssm:cn-northwest-1:222222222222:document/abc",
    "arn:aws-us-gov:ssm:us-gov-east-1:222222222222:document/Year-end_freeze.2026",
    "arn:aws-iso:ssm:us-iso-east-1:222222222222:document/Freeze",
    "arn:aws-iso-b:ssm:us-isob-east-1:222222222222:document/Freeze",
    "arn:aws-eusc:ssm:eusc-de-east-1:222222222222:document/Freeze",
)
"""By name in the same account, by ARN if another account shares it; in every partition."""


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
        ("max_enforcements_per_hour", 1, 1),
        ("max_enforcements_per_hour", 1_000_000, 1_000_000),
        ("watch_hours", 3, 3),
        ("watch_hours", 168, 168),
        ("watch", "fast", "fast"),
        ("watch", "slow", "slow"),
        *(("rollback", word.value, word) for word in RollbackMode),
        *(("source", word.value, word) for word in SourceMode),
        *(("digest", word.value, word) for word in Digest),
        *(("max_exemption_days", days, days) for days in (1, 3650)),
        ("rejected_threshold", 1, 1),
        ("rejected_threshold", 1_000_000, 1_000_000),
        ("rejected_periods", 1, 1),
        ("rejected_periods", 288, 288),
        ("max_gap_hours", 1, 1),
        ("max_gap_hours", 10_000, 10_000),
        ("rollback_tag", "x", "x"),
        ("rollback_tag", "Zurück/für:alles", "Zurück/für:alles"),
        ("canary", None, None),
        ("canary", {"share": 1, "hours": 6}, Canary(share=1.0, hours=6)),
        ("canary", {"hours": 168, "share": 0.001}, Canary(share=0.001, hours=168)),
        ("canary", {"share": 0.5}, Canary(share=0.5, hours=24)),
        ("canary", {"hours": 7}, Canary(share=0.1, hours=7)),
        ("canary", {}, Canary(share=0.1, hours=24)),
        ("min_clean_starts", 1, 1),
        ("min_clean_starts", 40, 40),
        ("cohort_evidence", True, True),
        ("cohort_evidence", False, False),
        ("cohort_tag", None, None),
        ("cohort_tag", "App", "App"),
        ("change_calendar", None, None),
        *(("change_calendar", calendar, calendar) for calendar in CALENDARS),
        *(("approval", word.value, word) for word in Approval),
        ("notice_hours", 0, 0),
        ("notice_hours", 2160, 2160),
        ("owner_tag", "x", "x"),
        ("owner_tag", "Zuständig/für:alles", "Zuständig/für:alles"),
        ("owner_tag", "x" * 128, "x" * 128),
    ],
)
def test_what_a_field_takes(field: str, value: object, expected: object) -> None:
    """Each valid value is read, and leaves the other fields at their defaults."""
    policy = Policy.from_json(json.dumps({field: value}))
    assert expected == getattr(policy, field)
    assert DEFAULTS | {field: policy.to_document()[field]} == policy.to_document()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("rollback", ["auto", "alert"]),
        ("approval", ["none", "required"]),
        ("watch", ["fast", "slow"]),
        ("source", ["report", "fix"]),
    ],
)
def test_the_words_of_a_gate_are_the_contracts(field: str, words: list[str]) -> None:
    """These values are in people's parameters; the complaint about any other value lists them all."""
    assert words == [Policy.from_document({field: word}).to_document()[field] for word in words]
    assert f'takes "{words[0]}" or "{words[1]}", not "yes"' == refused(f'{{"{field}": "yes"}}').problem


MODES: list[object] = [None, "on", "OFF", "Observe", " off", "", 0, True, ["off"], {}]
NUMBERS = [True, False, None, "35", "", [35], {"days": 35}, float("nan"), float("inf"), float("-inf"), -1, 1e300]
NO_CANARIES: list[object] = [True, False, 0, 0.1, "", "null", "0.1", [], [0.1, 24]]
NO_NAMES: list[object] = [True, False, 5, [], ["Freeze"], {}, {"name": "Freeze"}]
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
            ("exclude_regions", ["eu-west-1", value], "Region")
            for value in ("EU-WEST-1", "eu-west", "eu-west-1a", "*", "eu-*", "Ireland", "eu-west-1 ", "eu-west-1\n")
        ),
        *(
            (field, value, "1 or more")
            for field in ("max_enforcements_per_hour", "rejected_threshold", "rejected_periods", "max_gap_hours")
            for value in (*NUMBERS, 0, 1.0, 50.5, -(10**300))
        ),
        *(("watch_hours", value, "hours from 3 to 168") for value in (*NUMBERS, 0, 1, 2, 169, 24.0, 0.5, 10**300)),
        *(("notice_hours", value, "hours from 0 to 2160") for value in (*NUMBERS, 2161, 24.0, 0.5, 10**300)),
        *(("source", value, '"fix"') for value in (None, "FIX", "auto", "", True, 1, ["fix"])),
        *(("digest", value, '"daily"') for value in (None, "DAILY", "weekly", "", True, False, 1, ["off"])),
        *(("max_exemption_days", value, "from 1 to 3650") for value in (None, 0, -1, 3651, 1.5, "400", True, [400])),
        *(("rollback", value, '"alert"') for value in (None, "AUTO", "manual", "", True, 0, ["auto"], {"auto": True})),
        *(
            ("approval", value, '"required"')
            for value in (None, "require", "None", "", True, 0, ["none"], {"none": True})
        ),
        *(("canary", value, "or null") for value in NO_CANARIES),
        *(("change_calendar", value, "Change Calendar") for value in NO_NAMES),
        *(
            ("change_calendar", value, "Change Calendar")
            for value in (
                "",
                "ab",
                "x" * 129,
                "Year end",
                "Jahresabschlußsperre",
                "document/Freeze",
                "Freeze:3",
                "Freeze\n",
                " Freeze",
                f"{CALENDAR}\n",
                f"{CALENDAR}:3",
                f"{CALENDAR}, {CALENDAR}",
                f"{CALENDAR}{'x' * 128}",
                CALENDAR.removesuffix("Freeze"),
                CALENDAR.replace("Freeze", "ab"),
                CALENDAR.replace("document", "parameter"),
                CALENDAR.replace(":ssm:", ":ssm-incidents:"),
                CALENDAR.replace("111111111111", ""),
                CALENDAR.replace("111111111111", "11111111111"),
                CALENDAR.replace("111111111111", "٢٢٢٢٢٢٢٢٢٢٢٢"),
                CALENDAR.replace("eu-west-1", ""),
                CALENDAR.replace("eu-west-1", "*"),
                CALENDAR.replace("arn:aws:", "arn:azure:"),
                CALENDAR.upper(),
            )
        ),
        *(
            (tag, value, "tag key")
            for tag in ("owner_tag", "rollback_tag")
            for value in (None, "", "x" * 129, "aws:x", 5, True, ["x"], {"x": "y"})
        ),
    ],
)
def test_what_a_field_refuses(field: str, value: object, takes: str) -> None:
    """The complaint names the field and its accepted values."""
    complaint = refused(json.dumps({field: value}))
    assert field == complaint.field
    assert takes in str(complaint)


@pytest.mark.parametrize(
    ("canary", "field", "takes"),
    [
        *(({"share": value}, "canary.share", "above 0") for value in (*NUMBERS, 0, 0.0, -0.0, 1.0001, 10, 10**300)),
        *(
            ({"hours": value}, "canary.hours", "hours from 6 to 168")
            for value in (*NUMBERS, 0, 1, 5, 169, 24.0, 10**300)
        ),
        ({"share": 0.1, "hours": None}, "canary.hours", "hours from 6 to 168"),
        ({"share": 0.1, "days": 1}, "canary.days", "known are hours, share"),
        ({"mode": "off"}, "canary.mode", "known are hours, share"),
        ({"": 1}, "canary.", "known are hours, share"),
        ({"x" * 10_000: 1}, f"canary.{'x' * (LONGEST_NAME - len('canary.'))}", "known are hours, share"),
    ],
)
def test_what_a_canary_refuses(canary: dict[str, object], field: str, takes: str) -> None:
    """The complaint names the full path of the field, because the policy has other fields for hours."""
    complaint = refused(json.dumps({"canary": canary}))
    assert field == complaint.field
    assert takes in complaint.problem


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
    """No instance could ever satisfy it; the complaint gives the hours in the window and the correction."""
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
        "share",
        "hours",
        "canary.share",
        "max_enforcements_per_day",
        "change_calendars",
    ],
)
def test_an_unknown_field_is_refused(name: str) -> None:
    """A misspelled gate must not go unnoticed; the complaint names the field and lists the known ones."""
    complaint = refused(json.dumps({"mode": "enforce", name: 1}))
    assert name[:LONGEST_NAME] == complaint.field
    assert all(each.name in complaint.problem for each in fields(Policy))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"mode": "off", "mode": "enforce"}', "mode"),
        ('{"mode": "enforce", "lookback_days": 35, "mode": "enforce"}', "mode"),
        ('{"lookback_days": 35, "mode": "off", "lookback_days": 455}', "lookback_days"),
        ('{"exempt_tag": {"x": 1, "x": 2}}', "x"),
        ('{"canary": {"share": 0.1, "hours": 24, "share": 1}}', "share"),
        ('{"canary": null, "canary": {}}', "canary"),
        (f'{{"{"x" * 10_000}": 1, "{"x" * 10_000}": 2}}', "x" * LONGEST_NAME),
    ],
)
def test_a_field_given_twice_is_refused(text: str, name: str) -> None:
    """With both `off` and `enforce`, the intention is unknown."""
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


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        *((f'{{"{field}": ', "}", {field}) for field in DEFAULTS if field != "canary"),
        ('{"canary": ', "}", {"canary", "canary.x"}),
        ('{"canary": {"share": ', "}}", {"canary.share"}),
        ('{"canary": {"hours": ', "}}", {"canary.hours"}),
    ],
)
def test_nesting_of_any_depth_is_refused_and_never_a_crash(start: str, end: str, named: set[str]) -> None:
    """A document that can just be parsed is still too deep to be serialised."""
    for depth in range(900, 1000, 3):
        for text in ("[" * depth + "]" * depth, '{"x":' * depth + "1" + "}" * depth):
            assert refused(f"{start}{text}{end}").field in {*named, "policy"}


@pytest.mark.parametrize("document", [None, [], "observe", 35, [("mode", "off")], {"mode": "off"}.items()])
def test_a_parsed_document_must_be_an_object(document: object) -> None:
    """Settings from sources other than JSON are checked alike."""
    with pytest.raises(PolicyRefused, match=r"^policy: takes a JSON object"):
        Policy.from_document(document)


def test_the_complaint_shows_what_was_sent_and_stays_short() -> None:
    """Enough of the value to find it, never a page."""
    assert '"enforced"' in str(refused('{"mode": "enforced"}'))
    refused(json.dumps({"mode": "x" * 100_000}))
    refused(json.dumps({"include_accounts": ["y" * 100_000]}))
    refused('{"mode": "\\ud800"}')
    assert "?" == refused('{"\\ud800": 1}').field
    assert "canary.?" == refused('{"canary": {"\\ud800": 1}}').field
    assert "?" == refused('{"\\ud800": 1, "\\ud800": 2}').field


def read(text: str) -> Policy | PolicyRefused:
    """The policy, or the complaint."""
    try:
        return Policy.from_json(text)
    except PolicyRefused as complaint:
        return complaint


account_ids = st.from_regex(r"[0-9]{12}", fullmatch=True)
accounts = st.frozensets(account_ids, max_size=3)
tag_keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128).filter(
    lambda key: not key.startswith("aws:")
)
shares = st.floats(0, 1, exclude_min=True)
canaries = st.builds(Canary, share=shares, hours=st.integers(6, 168))
documents = st.from_regex(r"[a-zA-Z0-9_.-]{3,128}", fullmatch=True)
places = st.sampled_from(["aws:ssm:eu-west-1", "aws-cn:ssm:cn-north-1", "aws-us-gov:ssm:us-gov-west-1"])
calendars = documents | st.builds("arn:{}:{}:document/{}".format, places, account_ids, documents)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any valid policy."""
    lookback_days = draw(st.integers(1, 455))
    return Policy(
        mode=draw(st.sampled_from(Mode)),
        lookback_days=lookback_days,
        min_observed_hours=draw(st.integers(0, lookback_days * 24)),
        min_coverage=draw(shares),
        boot_evidence=draw(st.sampled_from(BootEvidence)),
        exempt_tag=draw(tag_keys),
        include_accounts=draw(accounts),
        exclude_accounts=draw(accounts),
        exclude_regions=draw(st.frozensets(st.sampled_from(["eu-west-1", "cn-north-1", "us-gov-east-1"]))),
        max_enforcements_per_hour=draw(st.integers(1)),
        watch_hours=draw(st.integers(3, 168)),
        watch=draw(st.sampled_from(Watch)),
        rollback=draw(st.sampled_from(RollbackMode)),
        rejected_threshold=draw(st.integers(1)),
        rejected_periods=draw(st.integers(1)),
        rollback_tag=draw(tag_keys),
        max_gap_hours=draw(st.integers(1)),
        canary=draw(st.none() | canaries),
        min_clean_starts=draw(st.integers(1)),
        cohort_evidence=draw(st.booleans()),
        cohort_tag=draw(st.none() | tag_keys),
        change_calendar=draw(st.none() | calendars),
        approval=draw(st.sampled_from(Approval)),
        notice_hours=draw(st.integers(0, 2160)),
        owner_tag=draw(tag_keys),
        source=draw(st.sampled_from(SourceMode)),
        digest=draw(st.sampled_from(Digest)),
        max_exemption_days=draw(st.integers(1, 3650)),
    )


@given(policies())
def test_a_policy_comes_back_from_its_document(policy: Policy) -> None:
    """The ledger keeps the last valid policy as JSON, complete and with every field."""
    document = policy.to_document()
    assert [each.name for each in fields(Policy)] == list(document)
    assert policy == Policy.from_json(json.dumps(document)) == Policy.from_document(document)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def spelled_out(name: str, value: Any) -> Any:
    """The normalised form of an accepted value: lists in order without duplicates, a complete canary."""
    if isinstance(value, list):
        return sorted(set(value))
    return DEFAULTS[name] | value if isinstance(value, dict) else value


@given(
    st.dictionaries(st.sampled_from(sorted(DEFAULTS)) | st.text(max_size=5), json_values, max_size=4)
    | st.fixed_dictionaries({"canary": st.dictionaries(st.sampled_from(["share", "hours", "x"]), json_values)})
)
def test_any_document_is_a_policy_or_refused_by_the_name_of_a_field(document: dict[str, Any]) -> None:
    """It raises nothing else, and an accepted policy equals the document."""
    outcome = read(json.dumps(document))
    if isinstance(outcome, PolicyRefused):
        canary = document.get("canary")
        nested = {f"canary.{name}"[:LONGEST_NAME] for name in canary} if isinstance(canary, dict) else set()
        assert outcome.field in {*document, *nested, "min_observed_hours"}
        return
    written = outcome.to_document()
    assert {name: spelled_out(name, value) for name, value in document.items()} == {
        name: written[name] for name in document
    }


@given(st.text())
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    """It raises nothing but a refusal, and text that is no object is refused as a whole."""
    outcome = read(text)
    assert isinstance(outcome, Policy) or "policy" == outcome.field
