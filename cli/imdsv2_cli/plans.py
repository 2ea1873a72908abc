"""A plan: what a dry run showed, in a file, so that exactly that is approved or changed, and nothing that came since."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from imdsv2_cli import times
from imdsv2_cli.failure import usage
from imdsv2_cli.files import write_file
from imdsv2_cli.output import note
from imdsv2_cli.verdicts import judge, would_change
from imdsv2_cli.wording import are, of, typed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from imdsv2_cli.base import App

VERSION = 1
_WAITS = frozenset({"approval_required", "unused", "cohort_unused"})
"""Reasons with which the evidence allows the change; for the first, only a person is missing."""
_TOLD = 10
_TEXTS = ("made_at", "stack", "ledger")
_WRITE_ONE = "write one with imdsv2 assess --plan FILE"


def write_plan(app: App, path: Path, answer: Mapping[str, Any]) -> None:
    """Write what a dry run showed. Raises Failure."""
    plan = {
        "version": VERSION,
        "made_at": times.to_text(times.now()),
        "made_by": app.caller,
        "stack": app.stack,
        "ledger": app.stack_output("LedgerTableName"),
        "mode": answer.get("mode"),
        "results": [
            {name: each.get(name) for name in ("target", "decision", "reason", "before", "planned_call", "explanation")}
            for each in answer["results"]
        ],
    }
    write_file(path, json.dumps(plan, indent=2) + "\n")
    would = sum(map(_is_planned, answer["results"]))
    note(f"The plan {path} has {of(would, len(answer['results']), 'instance')} to change.")


def read_plan(path: Path) -> dict[str, Any]:
    """The plan in a file. Raises Failure for anything else."""
    plan = _read(path)
    try:
        is_known = plan["version"] == VERSION
        is_whole = not is_known or (
            all(isinstance(plan[name], str) for name in _TEXTS) and all(map(_is_result, plan["results"]))
        )
    except (KeyError, TypeError) as error:
        raise usage(f"{path} is no plan", todo=_WRITE_ONE) from error
    if not is_known:
        raise usage(f"{path} is a plan of another version", todo="write it anew with imdsv2 assess --plan FILE")
    if not is_whole:
        raise usage(f"{path} is no whole plan", todo="write it anew with imdsv2 assess --plan FILE")
    return dict(plan)


def _read(path: Path) -> Any:
    """What is in the file. Raises Failure for what is no JSON."""
    from imdsv2.domain.json_values import read_json

    try:
        return read_json(path.read_bytes())
    except OSError as error:
        raise usage(f"{path} cannot be read", error.strerror or str(error), "name a file that you may read") from error
    except ValueError as error:
        raise usage(f"{path} is no plan", str(error), _WRITE_ONE) from error


def _is_result(each: Any) -> bool:
    return isinstance(each, dict) and isinstance(each["target"], str) and {"reason", "before"} <= each.keys()


def still_as_planned(app: App, plan: Mapping[str, Any]) -> list[str]:
    """The instances of a plan that would be changed then and now. What has changed since is left out and told. Raises Failure."""
    if plan["ledger"] != app.stack_output("LedgerTableName"):
        raise usage(
            "the plan is of another installation",
            f"it was made with the stack {plan['stack']}",
            "make one with this stack, or name that one with --stack",
        )
    planned = {each["target"]: each for each in plan["results"] if _is_planned(each)}
    if not planned:
        note("The plan has nothing to change.")
        return []
    now = {each["target"]: each for each in judge(app, list(planned))["results"]}
    left_out = {arn: why for arn, each in planned.items() if (why := _difference(each, now.get(arn))) is not None}
    for arn, why in list(left_out.items())[:_TOLD]:
        note(f"Left out: {arn}: {why}")
    if len(left_out) > _TOLD:
        note(f"Left out, too: {len(left_out) - _TOLD} more.")
    same = len(planned) - len(left_out)
    note(f"{of(same, len(planned), 'instance')} {are(same)} as the plan of {plan['made_at']} showed.")
    return [arn for arn in planned if arn not in left_out]


def _is_planned(result: Mapping[str, Any]) -> bool:
    """Whether the evidence allowed the change, and nothing but a person's approval was missing."""
    return would_change(result) or (not result.get("error") and result.get("reason") == "approval_required")


def _difference(then: Mapping[str, Any], now: Mapping[str, Any] | None) -> str | None:
    """What has changed of an instance since the plan was made, or None."""
    if now is None:
        return "the service has not answered for it."
    if now.get("error"):
        return str(now["error"]["message"])
    if not _is_planned(now) or now["reason"] not in _WAITS:
        return f"it was {then['reason']}, and is {now['reason']} now. {typed(now['explanation'])}"
    if now["before"] != then["before"]:
        return "its metadata options have changed."
    return None
