"""What a sweep could not look at, in one sentence: with it, the command ends that has followed the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2_cli.failure import Failure
from imdsv2_cli.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NAMED = 5
"""So many of a kind are named; `imdsv2 status` names them all."""


def unswept(result: Mapping[str, Any], places: Sequence[Mapping[str, Any]]) -> Failure | None:
    """The failure of a sweep that ended although something was not looked at; None if everything was.

    ``result``: the totals, as the sweep's output has them. ``places``: the rows of accounts and Regions, and of accounts that could not be
    entered, which have no `region`; empty if they could not be read. What the policy leaves out is no failure.
    """
    wrong = [each for each in places if each.get("error") and not each.get("left_out")]
    accounts = [each for each in wrong if "region" not in each]
    regions = [each for each in wrong if "region" in each]
    unjudged = [each for each in places if each.get("failed")]
    said = [
        _said(result.get("unreachable", 0), "account", "could not be entered", accounts),
        _said(result.get("errors", 0), "Region of an account", "could not be read", regions, "Regions of accounts"),
        _said(result.get("failed", 0), "instance", "could not be judged", unjudged),
    ]
    if not any(said):
        return None
    mend = "imdsv2 doctor says what mends it, or leave them out (exclude_accounts and exclude_regions of the policy)"
    log = "the log of the function sweep says why"
    todo = mend if said[0] or said[1] else log
    again = _again([*accounts, *regions, *unjudged], dry_run=bool(result.get("dry_run")))
    return Failure("the sweep has not seen everything", ", ".join(filter(None, said)), f"{todo}; then: {again}")


def _said(number: int, noun: str, what: str, rows: Iterable[Mapping[str, Any]], plural: str = "") -> str:
    """E.g. "2 accounts could not be entered (222222222222: AccessDenied; 333333333333: AccessDenied)"; empty for none."""
    if not number:
        return ""
    counted = f"{number} {plural}" if plural and number > 1 else count(number, noun)
    names = [_name(each) for each in rows]
    more = f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{counted} {what} ({'; '.join(names[:_NAMED])}{more})" if names else f"{counted} {what}"


def _name(row: Mapping[str, Any]) -> str:
    place = f"{row['account']} {row.get('region', '')}".strip()
    return f"{place}: {str(row['error']).rstrip('.')}" if row.get("error") else f"{row['failed']} in {place}"


def _again(rows: Sequence[Mapping[str, Any]], *, dry_run: bool) -> str:
    """The command that sweeps only these anew; all, where they are many or not known."""
    accounts = dict.fromkeys(each["account"] for each in rows)
    regions = dict.fromkeys(each.get("region") for each in rows)
    words = ["imdsv2 sweep"]
    if len(accounts) <= _NAMED:
        words += [f"--account {each}" for each in accounts]
    if None not in regions and len(regions) <= _NAMED:  # Of an account that could not be entered, no Region is known.
        words += [f"--in-region {each}" for each in regions]
    return " ".join([*words, *([] if dry_run else ["--real"])])
