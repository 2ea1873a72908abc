"""Texts that others wrote (names, tags, reasons) made harmless where they are shown."""

from __future__ import annotations

import json
import re

_CONTROLS = re.compile(
    # Escape sequences as a whole: CSI, then OSC and its like up to their end, then any other; and what is left of controls.
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    # Characters that turn the direction of the text around, or cannot be seen at all.
    r"|[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
_LINE_ENDS = re.compile(r"[\t\n\r\x0b\x0c\x85\u2028\u2029]+")
_HIDDEN = re.compile(
    r"[\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also as East Asian keyboards write them, in full width: some spreadsheets take these for the others."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def for_terminal(text: str) -> str:
    """The text on one line, without terminal escapes, control characters and characters that reorder or hide text."""
    return _CONTROLS.sub("", _LINE_ENDS.sub(" ", text)).encode(errors="replace").decode()


def for_spreadsheet(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula: a quote precedes what would begin one."""
    plain = for_terminal(text)
    return f"'{plain}" if plain.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(plain) else plain


def for_json(text: str) -> str:
    """A JSON text in which no character is left that a terminal would obey; JSON's own escapes say the same."""
    return _HIDDEN.sub(lambda each: json.dumps(each[0])[1:-1], text)
