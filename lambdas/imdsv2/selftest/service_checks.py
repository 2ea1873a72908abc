"""Checks of how findings reach the service, and of its surroundings in the account: pure functions from observations to a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.selftest.line_checks import entries_told
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import CONFIG_RULE, OK

if TYPE_CHECKING:
    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Seen

PRODUCT, PRODUCT_V2 = ":product/aws/securityhub", ":productv2/aws/securityhub"
HUB_RULE = f"securityhub-{CONFIG_RULE}"
"""The beginning of the name of the rule in Config by which Security Hub evaluates EC2.8: where there is none, the control is off."""
_MAY_BE_LATE = "If the ledger has it since (`imdsv2 explain`), it only came later than the self-test waits."
_CURRENT, _SKIPPED = "CURRENT", "SKIPPED_SUSPENDED_ACCOUNT"
_UNDER_WAY = frozenset({"PENDING", "RUNNING"})


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
    rules = [str(each) for each in answer.raw.get("rules", [])]
    if not entries and not rules:
        return expect.not_tried(f"Config records, but no rule there evaluates IMDSv2 ({CONFIG_RULE}).")
    if not entries and not any(CONFIG_RULE in each for each in rules):
        return expect.not_tried(
            f"Only rules with names of your own evaluate IMDSv2 there ({', '.join(rules)}): name them in the setting config_rule_names, "
            "and deploy the rules that forward their events again. If you have, look for the event in the queue next to those."
        )
    hint = "" if entries else f" Is the stack that forwards its events deployed there? {_MAY_BE_LATE}"
    return expect.judged(bool(entries), f"{len(entries)} entries come from Config.{hint}", **entries_told(entries))


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
        return expect.not_tried(f"{hub} is not on in this account and Region, or cannot be asked ({why}).")
    found = [entry for entry in seen.entries if any(arn.endswith(product) for arn in entry.hubs)]
    if not found and (missing := _cannot_find(seen)) is not None:
        return expect.not_tried(f"No finding came, and none may have been made: {missing}")
    hint = (
        ""
        if found
        else f" Does its Region send its findings to that of the service (aggregation, central configuration)? {_MAY_BE_LATE}"
    )
    return expect.judged(
        bool(found), f"{len(found)} entries of the ledger have such a finding.{hint}", **entries_told(found)
    )


def _cannot_find(seen: Seen) -> str | None:
    """Why Security Hub may have made no finding: it evaluates EC2.8 by a rule of its own in Config. None if nothing speaks for that."""
    answer = seen.answer("config")
    if answer is None or answer.code != OK:
        return "Config in this account and Region could not be asked whether it evaluates EC2.8 for Security Hub."
    if not answer.raw.get("recording"):
        return "Config does not record instances at once there."
    if not any(str(rule).startswith(HUB_RULE) for rule in answer.raw.get("rules", [])):
        return f"Config has no rule {HUB_RULE}-... there, so the control EC2.8 is off, or has just been switched on."
    return None


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
    bad = [each for each in instances if each["status"] != _CURRENT and each.get("detail") != _SKIPPED]
    if bad and all(each.get("detail") in _UNDER_WAY for each in bad):
        return expect.not_tried(f"An operation is under way on {len(bad)} of {len(instances)} stack instances.")
    return expect.judged(not bad, f"{len(bad)} of {len(instances)} stack instances are not current.", bad=bad[:50])
