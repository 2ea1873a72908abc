"""What a sweep counts: the tally of an account and Region, and what those of all come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import Place, partition_of
from imdsv2.sweep.scope import missed

if TYPE_CHECKING:
    from collections.abc import Iterable

TOTALS = ("instances", "imdsv1_allowed", "endpoint_disabled", "already_required", "not_there", "failed")
"""What is added up of all places."""
_COUNTS = TOTALS[1:]


@dataclass(kw_only=True)
class Tally:
    """The progress in one account and Region; ``after``: the last instance evaluated, None once complete.

    Instances are counted when it is their turn, in one of ``imdsv1_allowed``, ``endpoint_disabled`` and ``already_required``.
    ``not_there``: what the ledger waits for and EC2 does not list. Each of the four has a verdict or is among ``failed``.
    ``known``: the file with what the ledger waits for, if any. ``fleet``: how the files of the fleet are named, if they are written;
    ``parts``: how many of this place are complete. ``suppressed``: the file of its suppressed findings, if there are any. ``found``: the file for its sources; ``sources``: how many there are of each
    verdict, once they are judged. ``spare_hours``: what was judged in so many hours before is counted
    with that verdict, and not judged again.
    """

    place: Place
    imdsv1_allowed: int = 0
    endpoint_disabled: int = 0
    already_required: int = 0
    not_there: int = 0
    by_verdict: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    after: str | None = None
    error: str | None = None
    known: str | None = None
    suppressed: str | None = None
    fleet: str | None = None
    parts: int = 0
    found: str | None = None
    sources: dict[str, int] | None = None
    spare_hours: int = 0
    source_changes: Counter[str] = field(default_factory=Counter)
    """How many sources ended how, where the policy has them changed."""

    @property
    def instances(self) -> int:
        return self.imdsv1_allowed + self.endpoint_disabled + self.already_required

    def document(self) -> dict[str, Any]:
        """The tally as a JSON-compatible dict."""
        return {
            "account": self.place.account,
            "region": self.place.region,
            "instances": self.instances,
            **{name: getattr(self, name) for name in _COUNTS},
            "by_verdict": dict(self.by_verdict),
            "after": self.after,
            "error": self.error,
            "known": self.known,
            **({"fleet": self.fleet, "parts": self.parts} if self.fleet else {}),
            **({"suppressed": self.suppressed} if self.suppressed else {}),
            **({"found": self.found} if self.found else {}),
            **({"sources": self.sources} if self.sources is not None else {}),
            **({"spare_hours": self.spare_hours} if self.spare_hours else {}),
            **({"source_changes": dict(self.source_changes)} if self.source_changes else {}),
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Tally:
        """Resume from the previous invocation's tally; a bare ``{account, region}`` starts from the beginning."""
        region = document["region"]
        names = {each.name for each in fields(cls)} & document.keys()
        return cls(
            place=Place(partition_of(region), region, document["account"]),
            **{name: document[name] for name in names - {"by_verdict", "error", "sources"}},
            by_verdict=Counter(document.get("by_verdict", {})),
            sources=Counter(document.get("sources", {})),
        )


def add_up(tallies: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The totals of all tallies: the summary of the sweep. Of a place that failed, what was counted before counts."""
    total: Counter[str] = Counter()
    by_verdict: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    errors = {}
    for each in tallies:
        changes.update(each.get("source_changes", {}))
        total.update(places=1, **{name: each.get(name) or 0 for name in TOTALS})
        by_verdict.update(each["by_verdict"])
        sources.update(each.get("sources") or {})
        if missed(each):
            errors[f"{each['account']} {each['region']}"] = each["error"]
    changed = {"source_changes": dict(changes)} if changes else {}
    return {**total, "by_verdict": dict(by_verdict), "sources": dict(sources), **changed, "errors": errors}


def saw_nothing(places: int, errors: int, unreachable: int) -> bool:
    """Whether a sweep could look at nothing, though there is something to look at."""
    return places == errors and places + unreachable > 0
