"""Asks the service for verdicts, and shows them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import ask
from imdsv2_cli.failure import Exit
from imdsv2_cli.output import Column, Table, note, progress
from imdsv2_cli.wording import count, were

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from imdsv2_cli.base import App

TARGETS_A_CALL = 500
_CALLS_AT_ONCE = 4
_STANDS = frozenset({"enforced", "verified"})

_WATCHED = (
    "They are watched now; imdsv2 undo puts them back.",
    "It is watched now; imdsv2 undo puts it back.",
)

VERDICTS = (
    Column("account", spare=1),
    Column("region", spare=2),
    Column("instance"),
    Column("decision"),
    Column("reason"),
    Column("status", spare=5),
    Column("http_tokens", "HttpTokens", spare=3),
    Column("calls", "IMDSv1 calls", spare=4),
    Column("last_call", spare=6),
    Column("permitted", spare=7),
    Column("explanation", speaks=True),
    Column("error", csv_only=True, speaks=True),
)


def judge(app: App, targets: Sequence[str], *, dry_run: bool = True) -> dict[str, Any]:
    """The verdicts on instances, as the manual function answers for any number of them. Raises Failure.

    What is real goes one call after the other: the caps of the policy are by the hour.
    """
    payload: dict[str, Any] = {"dry_run": dry_run} if dry_run else {"dry_run": dry_run, "caller": app.caller}
    calls = [{"targets": list(some), **payload} for some in _batches(targets)]
    _ = app.patient_lambda, app.stack_output("ManualFunctionName")  # Before the threads, which share them.
    answers: list[dict[str, Any]] = []
    pool = ThreadPoolExecutor(_CALLS_AT_ONCE)
    with progress("Judging" if dry_run else "Changing", len(targets)) as done:
        try:
            # What is real is not sent before the answer to what precedes it.
            for answer in (pool.map if dry_run else map)(partial(ask, app), calls):
                answers.append(answer)
                done(len(answer["results"]))
        except BaseException:  # Ctrl-C is one, and waits for nobody's answer.
            note_done(answers)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    return {**answers[-1], "results": [each for answer in answers for each in answer["results"]]}


def note_done(answers: Sequence[Mapping[str, Any]]) -> None:
    """Before a failure or Ctrl-C ends the command: say what the calls before it have done, as long as that is real."""
    done = sum(len(each["results"]) for each in answers if not each["dry_run"])
    if done:
        note(f"Until then, the service had answered for {count(done, 'instance')}; ask again for the rest.")


def _batches(targets: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(targets), TARGETS_A_CALL):
        yield targets[start : start + TARGETS_A_CALL]


def table_of(results: Iterable[Mapping[str, Any]]) -> Table:
    """Verdicts as a table, one row for each instance."""
    return Table(VERDICTS, [row_of(each) for each in results])


def row_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of `results` as a row."""
    evidence, error = (result.get(name) or {} for name in ("evidence", "error"))
    return {
        **result,
        **parts_of(result["target"]),
        "http_tokens": _tokens(result),
        "calls": evidence.get("tokenless_calls"),
        "last_call": evidence.get("last_tokenless_call"),
        "decision": result.get("decision") or "error",
        "reason": result.get("reason") or error.get("code"),
        "error": error.get("message"),
    }


def _tokens(result: Mapping[str, Any]) -> str | None:
    """What HttpTokens is now, once the answer has come; after a call whose answer was lost, nobody knows."""
    planned, status = result.get("planned_call") or {}, result.get("status")
    if planned and status in _STANDS and not result.get("error"):
        return str(planned["HttpTokens"])
    if planned and status == "enforcing":
        return "unknown"
    return (result.get("before") or {}).get("HttpTokens")


def parts_of(arn: str) -> dict[str, str]:
    """Account, Region and id of an instance; of what is no ARN, the whole text as the instance."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return {"account": "", "region": "", "instance": arn}
    return {"account": parts[4], "region": parts[3], "instance": parts[5].removeprefix("instance/")}


def would_change(result: Mapping[str, Any]) -> bool:
    """Whether a dry run says that the service would require tokens on the instance."""
    return result.get("planned_call") is not None and not result.get("error")


def failed(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The results that are no verdict: the instance could not be judged, or EC2 refused the change."""
    return [each for each in answer["results"] if each.get("error")]


def summary_of(answer: Mapping[str, Any]) -> str:
    """How many instances would be changed, and what holds the others."""
    results = answer["results"]
    would = sum(map(would_change, results))
    return f"{would} of {len(results)} would be changed{_others(results, would_change)}. Mode: {answer['mode']}."


def changed_of(answer: Mapping[str, Any]) -> str:
    """How many instances were changed, and what held the others at the last moment."""
    results = answer["results"]
    changed = sum(map(_is_changed, results))
    undo = f" {_WATCHED[changed == 1]}" if changed else ""
    return f"{changed} of {len(results)} {were(changed)} changed{_others(results, _is_changed)}.{undo}"


def outcome_of(answer: Mapping[str, Any]) -> Exit:
    """How a command ends that wanted to change instances."""
    if failed(answer):
        return Exit.FAILED
    return Exit.DONE if any(map(_is_changed, answer["results"])) else Exit.NOTHING


def _is_changed(result: Mapping[str, Any]) -> bool:
    return result.get("status") in _STANDS and not result.get("error")


def _others(results: Sequence[Mapping[str, Any]], left_out: Callable[[Mapping[str, Any]], bool]) -> str:
    """The reasons of those that are not left out, the most frequent first."""
    reasons = Counter(str(each.get("reason") or "error") for each in results if not left_out(each))
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"; not: {listed}" if listed else ""
