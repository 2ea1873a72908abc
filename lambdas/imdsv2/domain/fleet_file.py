"""The file of the fleet: its columns and names, for the sweep that writes it and for those who read it. docs/fleet.md describes it."""

from __future__ import annotations

SCHEMA = 1
"""The version of the columns. A column may be added under the same version; a new version says that one went or changed its meaning."""

LATEST = "fleet/latest.json"
"""The key of the document that names the newest file."""

COLUMNS = {
    "account": "account id",
    "region": "Region",
    "instance_id": "instance id",
    "name": "value of the tag `Name`",
    "owner": "value of the policy's `owner_tag`; empty without the tag, and then the account is the owner",
    "cohort": "key of the cohort (docs/cohorts.md); empty if it is in none",
    "source": "what launched it, `<kind>:<name>` or `<kind>:<what contains it>/<name>` (docs/sources.md)",
    "image": "AMI",
    "state": "`pending`, `running`, `stopping` or `stopped`",
    "http_tokens": "`optional` or `required`, after what the sweep changed",
    "http_endpoint": "`enabled` or `disabled`",
    "hop_limit": "`HttpPutResponseHopLimit`",
    "launched_at": "time of the last start",
    "as_of": "when this row was put together; what came later is in the ledger only",
    "status": "status in the ledger; after a dry run, what it would be; empty if the ledger does not know it",
    "decision": "`enforce`, `hold` or `skip`; empty if it could not be judged",
    "reason": "the row of the verdict table",
    "explanation": "the verdict as a sentence, with what to do",
    "since": "since when it has this verdict",
    "next_at": "when it is judged again without a request; empty: at the next sweep, or never",
    "calls": "IMDSv1 calls in the window; empty if it was not asked",
    "call_hours": "in how many hours of the window",
    "last_call": "beginning of the last hour with calls",
    "pattern": "when the calls come",
    "calls_by_hour": "calls in each hour of the week that has any, from Monday 00:00 UTC (0) to Sunday 23:00 (167): `2:5 26:5`",
    "observed_hours": "hours of the window in which it was observed",
    "coverage": "share of the hours in which it ran that have a datapoint",
    "boot_calls": "IMDSv1 calls in the two hours after the last start",
    "enforced_at": "when the service required tokens",
    "verified_at": "when the watch after that ended without a sign of breakage",
    "rolled_back_at": "when the service made tokens optional again",
    "watch": "`open` while the guard watches it, `done` after that",
    "broken_at": "when its software was seen to break, if no person has cleared it since",
    "left_because": "why what broke was not rolled back",
    "notice_ends_at": "when the notice to its owner ends",
    "ends_on": "last day of the exemption or hold that is in force",
    "hold_owner": "owner of a person's hold",
    "hold_until": "last day of that hold",
    "approval": "`approved` or `refused`",
}
"""Each column with its meaning, in the order of the file. Times are UTC, ISO 8601."""
