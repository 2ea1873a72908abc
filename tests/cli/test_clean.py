"""Names, tags and reasons that others wrote change neither a terminal nor a spreadsheet, and stay readable."""

from __future__ import annotations

import json

import pytest

from imdsv2_cli.clean import for_json, for_spreadsheet, for_terminal

HIDDEN = {
    "right-to-left override": "\u202e",
    "right-to-left mark": "\u200f",
    "Arabic letter mark": "\u061c",
    "isolate": "\u2067",
    "zero width space": "\u200b",
    "soft hyphen": "\u00ad",
    "byte order mark": "\ufeff",
    "tag": "\U000e0041",
    "C1 control": "\x85",
    "bell": "\x07",
    "delete": "\x7f",
    "a whole escape sequence": "\x1b]8;;https://example.com\x1b\\",
}


@pytest.mark.parametrize("name", HIDDEN)
def test_what_hides_or_reorders_text_is_left_out(name: str) -> None:
    """In JSON it is written as an escape, which says the same to a program."""
    text = f"web{HIDDEN[name]}1"
    assert "web1" == for_terminal(text).replace(" ", "")
    shown = for_json(json.dumps({"name": text}, ensure_ascii=False))
    assert not any(each in shown for each in HIDDEN[name] if not each.isprintable())
    assert {"name": text} == json.loads(shown)


@pytest.mark.parametrize(
    "text", ["\u05e9\u05e8\u05ea-1", "\U0001f469\u200d\U0001f4bb", "caf\u00e9 [bold]", "\u7db2\u9801"]
)
def test_what_is_merely_foreign_stays(text: str) -> None:
    """Hebrew, emoji, accents and brackets are names like others."""
    assert text == for_terminal(text) == for_spreadsheet(text)


@pytest.mark.parametrize(
    "text", ["=1+1", " =1+1", "\t=1", "\uff1dcmd|x", "\uff0b1", "@SUM(A1)", "-2+3", "%0A", "\u202e=1"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    """Nor what a spreadsheet takes for one after a blank, or in full width."""
    assert for_spreadsheet(text).startswith("'")


@pytest.mark.parametrize("text", ["-5", "+0.25", "12", "", "i-0123", "2026-11-29"])
def test_numbers_and_ids_stay_as_they_are(text: str) -> None:
    """A quote before these would make texts of them."""
    assert text == for_spreadsheet(text)


def test_a_lone_surrogate_is_shown_as_a_question_mark() -> None:
    """Half a character cannot be written."""
    assert "web-?" == for_terminal("web-\ud83d")
    assert "web-\ud83d" == json.loads(for_json(json.dumps("web-\ud83d", ensure_ascii=False)))
