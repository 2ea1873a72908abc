"""Checks of the whole service and of its surroundings in the account: pure functions from observations to a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2.selftest.agenda import LINE
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import OK

if TYPE_CHECKING:
    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Entry, Seen

PRODUCT, PRODUCT_V2 = ":product/aws/securityhub", ":productv2/aws/securityhub"
REFUSED_PERIODS = 2
"""Separate five minutes in which the agenda has the instance of the line make calls that are refused."""
_GOOD_STATES = frozenset({"SUCCEEDED", "CURRENT"})
_SKIPPED = "SKIPPED_SUSPENDED_ACCOUNT"


def line_enforces(seen: Seen) -> Result:
    """The service itself, told by hand to enforce one of the instances, requires tokens there and records it."""
    expect = Expectation("The ledger says `enforced`, and EC2 shows HttpTokens `required`.")
    answer = seen.answer("enforce")
    if answer is None:
        return expect.not_tried(
            'The line was not tried: start with "line": true, and leave it the time that the plan says.'
        )
    entries = seen.entries_of(LINE)
    enforced = [entry for entry in entries if entry.status == "enforced"]
    required = [sight for sight in seen.sights_of(LINE) if sight.tokens == "required"]
    if not enforced and not required:
        # Held by policy, gate or evidence: that proves the gate, and neither proves nor disproves the line.
        why = answer.raw.get("explanation") or answer.message
        held = answer.code == OK and answer.raw.get("status") not in {"failed", "enforcing"}
        return (
            expect.not_tried(f"The service decided otherwise: {why}")
            if held
            else expect.judged(False, why, **answer.raw)
        )
    said = f"{len(enforced)} entries of the ledger say `enforced`, {len(required)} looks show `required`."
    return expect.judged(bool(enforced and required), said, **_entries(entries))


def line_rolls_back(seen: Seen) -> Result:
    """After refused IMDSv1 calls, the guard makes tokens optional again by itself, and records it."""
    expect = Expectation("The ledger says `rolled_back`, and EC2 shows HttpTokens `optional` again.")
    entries = seen.entries_of(LINE)
    enforced = [entry for entry in entries if entry.status == "enforced"]
    refused = seen.calls_of(LINE, "v1", 401)
    if not enforced:
        return expect.not_tried("The service enforced nothing, so there is nothing to roll back.")
    if not refused:
        return expect.not_tried("The instance reported no refused call, so nothing broke.")
    if (leaves := _leaves_broken(seen, len(refused))) is not None:
        return expect.not_tried(leaves)
    rolled_back = [entry for entry in entries if entry.status == "rolled_back"]
    after = [sight for sight in seen.sights_of(LINE) if sight.at > enforced[0].at]
    opened = bool(after) and after[-1].tokens == "optional"
    said = f"The ledger ends with `{entries[-1].status}`; EC2 shows `{after[-1].tokens if after else 'nothing'}`."
    if rolled_back:
        said += f" The rollback came {(rolled_back[0].at - refused[0].at).total_seconds() / 60:.1f} min after the first refused call."
    return expect.judged(bool(rolled_back) and opened, said, **_entries(entries))


def _leaves_broken(seen: Seen, refused: int) -> str | None:
    """Why the policy lets the guard leave the instance as it is; None if it must roll it back."""
    answer = seen.answer("policy")
    policy = answer.raw if answer is not None else {}
    if policy.get("rollback", "auto") != "auto":
        return f'The policy says "rollback": "{policy["rollback"]}", so the guard only tells.'
    if policy.get("rejected_threshold", 0) > refused or policy.get("rejected_periods", 0) > REFUSED_PERIODS:
        return "The policy wants more refused calls (rejected_threshold, rejected_periods) than the self-test makes."
    return None


def config_event_arrives(seen: Seen) -> Result:
    """Config's verdict on one of the instances reaches the ledger: rule, bus, encrypted queue and function let it through."""
    expect = Expectation("The ledger has an entry about one of the instances with the source `config`.")
    answer = seen.answer("config")
    if answer is None or answer.code != OK or not answer.raw.get("recording"):
        why = (
            answer.message
            if answer is not None and answer.message
            else "no recorder is on, or it records instances daily or not at all"
        )
        return expect.not_tried(f"Config does not record instances at once in this account and Region: {why}.")
    entries = [entry for entry in seen.entries if entry.source == "config"]
    if not entries and not answer.raw.get("rules"):
        return expect.not_tried("Config records, but no rule there evaluates IMDSv2 (ec2-imdsv2-check).")
    hint = "" if entries else " Is the stack that forwards its events deployed there?"
    return expect.judged(bool(entries), f"{len(entries)} entries come from Config.{hint}", **_entries(entries))


def security_hub_finding_arrives(seen: Seen) -> Result:
    """Security Hub's finding about one of the instances reaches the ledger through rule, encrypted queue and function."""
    return _from_hub(seen, "hub", PRODUCT, "Security Hub (CSPM)")


def security_hub_v2_finding_arrives(seen: Seen) -> Result:
    """The newer Security Hub's finding about one of the instances reaches the ledger."""
    return _from_hub(seen, "hub v2", PRODUCT_V2, "The newer Security Hub")


def _from_hub(seen: Seen, name: str, product: str, hub: str) -> Result:
    expect = Expectation(f"The ledger has a finding of {product} about one of the instances.")
    answer = seen.answer(name)
    if answer is None or answer.code != OK:
        why = answer.code if answer is not None else "the agenda did not reach it"
        return expect.not_tried(f"{hub} is not on in this account and Region ({why}).")
    found = [entry for entry in seen.entries if any(arn.endswith(product) for arn in entry.hubs)]
    hint = (
        "" if found else " Is the control EC2.8 on there, and does its Region send its findings to that of the service?"
    )
    return expect.judged(
        bool(found), f"{len(found)} entries of the ledger have such a finding.{hint}", **_entries(found)
    )


def hub_v2_answers(seen: Seen) -> Result:
    """GetFindingsV2 answers the question that the service asks before it changes an instance."""
    expect = Expectation("GetFindingsV2 with the service's filter is carried out.")
    on, answer = seen.answer("hub v2 at home"), seen.answer("findings v2")
    if on is None or on.code != OK:
        return expect.not_tried("The newer Security Hub is not on in the service's account.")
    if answer is None or not answer.conclusive:
        return expect.not_tried(f"It gave no answer ({answer.code})." if answer else "The agenda did not reach it.")
    return expect.judged(answer.code == OK, f"It answered {answer.code}. {answer.message}".strip(), **answer.raw)


def stack_sets_are_current(seen: Seen) -> Result:
    """The StackSets have deployed the member templates to every account of the organizational units."""
    expect = Expectation("Every stack instance is CURRENT or was skipped because its account is suspended.")
    answer = seen.answer("stack sets")
    if answer is None or answer.code != OK:
        why = f"{answer.code}: {answer.message}" if answer is not None else "the agenda did not reach it"
        return expect.not_tried(f"The StackSets could not be read ({why}).")
    instances = answer.raw.get("instances", [])
    if not instances:
        return expect.not_tried("The service deploys nothing to members itself (organizational_units is empty).")
    bad = [
        each
        for each in instances
        if each["status"] not in _GOOD_STATES and each.get("detail") not in {_SKIPPED, *_GOOD_STATES}
    ]
    return expect.judged(not bad, f"{len(bad)} of {len(instances)} stack instances are not current.", bad=bad[:50])


def _entries(entries: list[Entry]) -> dict[str, Any]:
    return {"entries": [f"{each.at.isoformat()} {each.status} {each.reason} from {each.source}" for each in entries]}
