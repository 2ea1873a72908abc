"""Checks of what IAM's condition keys carry, told by dry runs under session policies: pure functions.

Each key is tried by a pair of dry runs under one session policy, which allows the call only if the key has a value: one call for which
it should have it, and one for which it should not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imdsv2.selftest.agenda import CLOSED
from imdsv2.selftest.metrics import STEP_NOT_REACHED
from imdsv2.selftest.result import Expectation
from imdsv2.selftest.seen import OK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Answer, Seen

PERMITTED, REFUSED = "DryRunOperation", "UnauthorizedOperation"
_BY_ANOTHER = re.compile(r"(service control|resource control) policy|permissions boundary", re.I)
"""IAM User Guide, troubleshoot_access-denied.html: the kind of policy that refused. The policy that is tried is a session policy; a refusal
that names the role's own policies may be meant for both."""


def tokens_sent_key(seen: Seen) -> Result:
    """`ec2:Attribute/HttpTokens` carries the value that a call sends."""
    return _pair(seen, "tokens sent", ("dry run",), "HttpTokens=required is permitted, HttpTokens=optional is not.")


def options_sent_key(seen: Seen) -> Result:
    """`ec2:Attribute` carries the names of all options that a call sends."""
    return _pair(
        seen, "options sent", ("dry run",), "A call with HttpPutResponseHopLimit is permitted, one without it is not."
    )


def endpoint_now_key(seen: Seen) -> Result:
    """`ec2:MetadataHttpEndpoint` carries the instance's endpoint as it is before the call."""
    expected = "A change is permitted where the endpoint is enabled, and not where it is disabled."
    closed = next((sight for sight in seen.sights_of(CLOSED) if sight.endpoint == "disabled"), None)
    without = seen.answer("endpoint now: without")
    if without is not None and (closed is None or closed.at > without.at):
        return Expectation(expected).not_tried("The instance was not seen with its endpoint disabled before that.")
    return _pair(seen, "endpoint now", ("dry run", "dry run closed"), expected)


def _pair(seen: Seen, name: str, unlimited: Sequence[str], expected: str) -> Result:
    """``unlimited``: the same calls without the session policy: where they are refused too, a refusal says nothing of the key."""
    expect = Expectation(expected)
    with_value, without_value = seen.answer(f"{name}: with"), seen.answer(f"{name}: without")
    if with_value is None or without_value is None:
        return expect.not_tried(STEP_NOT_REACHED)
    codes = (with_value.code, without_value.code)
    said = f"EC2 answered {codes[0]} and {codes[1]}."
    if not set(codes) <= {PERMITTED, REFUSED}:
        return expect.not_tried(f"{said} Neither says what IAM decided.")
    for each in (seen.answer(call) for call in unlimited):
        if each is None or each.code == REFUSED or not each.conclusive:
            answer = f"{each.code}: {each.message.rstrip('.')}" if each else "nothing"
            return expect.not_tried(
                f"{said} The role of the self-test has not got the permission itself just then (EC2 answered {answer}). Deploy the member "
                "roles of this version, and start it again."
            )
    if (by_another := _by_another(with_value, without_value)) is not None:
        return expect.not_tried(
            f"{said} Another policy than the one that is tried refused it: {by_another}. Except the role of the self-test from that policy, "
            "or start it in another account."
        )
    return expect.judged(codes == (PERMITTED, REFUSED), said, messages=[with_value.message, without_value.message])


def _by_another(*answers: Answer) -> str | None:
    """What IAM says of a refusal that comes from elsewhere, e.g. from the organisation: it tells nothing of the key."""
    refused = (each.message for each in answers if each.code == REFUSED)
    return next((message.rstrip(".") for message in refused if _BY_ANOTHER.search(message)), None)


def roles_are_as_meant(seen: Seen) -> Result:
    """The write and rollback roles of the account permit what the service needs, and nothing else, to EC2's own IAM."""
    expect = Expectation("Every dry run of the function `check` has the answer that it must have.")
    answer = seen.answer("roles")
    if answer is None or answer.code != OK:
        why = answer.message if answer is not None else "the agenda did not reach it."
        return expect.not_tried(f"The function `check` gave no answer: {why}")
    results = answer.raw.get("results", [])
    problems = [each["problem"] for each in results if each.get("problem")]
    if problems:
        return expect.not_tried(f"Some dry runs could not be made: {problems[0]}", results=results)
    if unproved := answer.raw.get("unproved"):
        return expect.not_tried(f"Not every dry run could be made: {unproved[0]}", results=results)
    failed = [one for each in results for one in each["checks"] if not one["passed"]]
    made = sum(len(each["checks"]) for each in results)
    if not made:
        return expect.not_tried("The function `check` made no dry run.", results=results)
    return expect.judged(not failed, f"{len(failed)} of {made} dry runs have another answer.", failed=failed)
