"""Texts that others wrote (user agents, command lines, tags, names of packages), made harmless before they are kept or shown."""

from __future__ import annotations

import re

_BEFORE_CLEANING = 8
"""So many times the longest text is looked at: cleaning takes characters away, and a text may be huge."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_SPACES = re.compile(r"\s+")
_KEPT_BACK = "(kept back)"
_SECRETS = (
    # The header whose value is a token of IMDSv2, and headers that authorise.
    re.compile(
        r"(x-aws-ec2-metadata-token|authorization|x-amz-security-token)(\s*:\s*)(?:(?:basic|bearer)\s+)?[^\s'\"]+", re.I
    ),
    # Options and variables whose name says that their value is secret.
    re.compile(
        r"([\w-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)s?)(\s*=\s*|:\s*|\s+(?=[^-\s]))(?!\(kept)[^\s,;'\"&]+",
        re.I,
    ),
    # User and password in a URL.
    re.compile(r"(://)()[^\s/@:]+:[^\s/@]+(?=@)"),
)
_KEY_ID = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b", re.I)


def plain(text: str, longest: int) -> str:
    """One line without terminal escapes, control characters and characters that hide or reorder text, of at most so many characters."""
    some = _ESCAPE.sub("", text[: longest * _BEFORE_CLEANING])
    seen = "".join(each if each.isprintable() else " " for each in some)
    line = _SPACES.sub(" ", seen).strip()
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def without_secrets(line: str) -> str:
    """A command line in which what looks like a secret is not shown. It can only know what says of itself that it is one."""
    for pattern in _SECRETS:
        line = pattern.sub(rf"\1\2{_KEPT_BACK}", line)
    return _KEY_ID.sub(_KEPT_BACK, line)
