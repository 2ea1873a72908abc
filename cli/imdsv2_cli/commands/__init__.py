"""Which commands there are. To add one, see the docstring of `imdsv2_cli`: its module beside this file, and its line here."""

from __future__ import annotations

from dataclasses import dataclass

LOOK = "Look"
DECIDE = "Decide"
SETTLE = "Settle"
RUN = "Run the service"
SECTIONS = (LOOK, DECIDE, SETTLE, RUN)
"""The sections of `imdsv2 --help`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and what is said of it before it is imported. ``summary``: the first line of its docstring."""

    module: str
    attribute: str
    section: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "status": Entry(
        "status",
        "status",
        LOOK,
        "Says what is open now: policy, breakers, approvals, notices, holds, exemptions, watch, sweep.",
    ),
    "list": Entry(
        "fleet_list",
        "list_instances",
        LOOK,
        "Lists the fleet: every instance with its verdict, and what happens next.",
    ),
    "explain": Entry(
        "explain",
        "explain",
        LOOK,
        "Explains an instance or a cohort: facts, evidence, gates, what happened, what happens next.",
    ),
    "report": Entry(
        "report",
        "report",
        LOOK,
        "Writes the report: progress with a forecast, verdicts, callers, sources, changes, exemptions.",
    ),
    "audit": Entry(
        "audit", "audit", LOOK, "Says what allows IMDSv1, why, since when and who decided, and what was changed."
    ),
    "assess": Entry("assess", "assess", LOOK, "Says what would happen to instances, and why; changes nothing."),
    "sources": Entry(
        "sources", "sources", LOOK, "Shows where instances come from, with a verdict and a remedy for each source."
    ),
    "images": Entry(
        "images",
        "images",
        LOOK,
        "Lists an account's own AMIs that do not require tokens; makes them require tokens for good.",
    ),
    "guardrails": Entry(
        "guardrails",
        "guardrails",
        LOOK,
        "Says what the organisation's guardrails would block today; changes nothing.",
    ),
    "culprit": Entry(
        "culprit", "culprit", LOOK, "Names what calls IMDSv1 on an instance or in a cohort, and what to update."
    ),
    "enforce": Entry("assess", "enforce", DECIDE, "Requires tokens on instances whose evidence allows it."),
    "approve": Entry("decide", "approve", DECIDE, "Approves changes that wait for it."),
    "refuse": Entry("decide", "refuse", DECIDE, "Refuses changes that wait for approval."),
    "hold": Entry("decide", "hold", DECIDE, "Holds instances: nothing is changed on them until a day has passed."),
    "release": Entry("decide", "release", DECIDE, "Ends a hold before its day."),
    "exempt": Entry("exempt", "exempt", DECIDE, "Exempts instances until a day, by the tag that the policy names."),
    "accept": Entry("decide", "accept", DECIDE, "Lets instances be changed in spite of what their evidence says."),
    "graduate": Entry(
        "graduate",
        "graduate",
        DECIDE,
        "Locks the metadata defaults of an account and Region in which nothing allows IMDSv1 any more.",
    ),
    "undo": Entry("settle", "undo", SETTLE, "Makes tokens optional again where the service has required them."),
    "clear": Entry(
        "settle",
        "clear",
        SETTLE,
        "Settles what is held against instances: that they broke, were undone or changed back.",
    ),
    "mended": Entry(
        "settle", "mended", SETTLE, "Says that software was updated and ran anew: the evidence begins there."
    ),
    "close-breaker": Entry(
        "settle", "close_breaker", SETTLE, "Closes the circuit breaker of an account, so that changes go on there."
    ),
    "policy": Entry("policy", "policy", RUN, "Shows and changes the policy, which says what the service may do."),
    "sweep": Entry("sweep", "sweep", RUN, "Judges every instance of every account and Region."),
    "doctor": Entry(
        "doctor", "doctor", RUN, "Looks for what keeps the service from working, with the command that mends it."
    ),
    "selftest": Entry("selftest", "selftest", RUN, "Tries in an account what the service believes about AWS."),
    "completion": Entry("completion", "completion", RUN, "Prints what a shell needs to complete commands and options."),
}
