"""Has sources changed at a person's request, or says what would be changed: the question where instances come from, with `fix`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.fix.survey import survey
from imdsv2.people.reach import not_there
from imdsv2.people.sources.answer import fix_document, source_document
from imdsv2.people.sources.run import SOURCES_SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import Place
    from imdsv2.fix.run import Fixing
    from imdsv2.fix.survey import Seen
    from imdsv2.people.sources.request import SourceQuestion

_SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFixing:
    """Carries out the question with `fix`."""

    fixing: Fixing

    def answer(self, question: SourceQuestion, request_id: str, has_time: Callable[[], bool]) -> dict[str, Any]:
        """The sources that were asked for, each with what became of it. Raises ClientError if the ledger fails; what fails in an
        account is told in ``problems``."""
        problems: list[str] = []
        results: list[dict[str, Any]] = []
        for place, ids in question.places.items():
            several = self._of_place(place, ids, problems)
            # The order is a person's, also where a dry run does not say whose.
            caller = question.caller or _SOMEBODY
            for seen, ended in self.fixing.fix_all(
                several, caller, request_id, because=question.reason, dry_run=question.dry_run
            ):
                document = source_document(seen.source, seen.judged, {})
                results.append({**document, "source": seen.key, "fix": fix_document(ended)})
                if not has_time():
                    problems.append(f"There was no time for what comes after {seen.key}: ask again.")
                    break
        return {
            "command": "sources",
            "dry_run": question.dry_run,
            "count": len(results),
            "results": results[:SOURCES_SHOWN],
            "problems": problems,
        }

    def _of_place(self, place: Place, ids: frozenset[str], problems: list[str]) -> list[Seen]:
        """The sources that are meant. ``problems`` grows by why a place cannot be looked at, and by what is not in it."""
        try:
            everything = survey(self.fixing.clients, self.fixing.ledger, self.fixing.fixes, place)
        except CALL_FAILURES as error:
            problems.append(
                f"Account {place.account}, {place.region} cannot be read ({describe_error(error)}): deploy the member roles there and "
                "enable the Region, then ask again."
            )
            return []
        known = {one.arn.instance_id for each in everything for one in each.source.instances}
        problems += not_there(place, ids - known)
        return [
            each for each in everything if not ids or any(one.arn.instance_id in ids for one in each.source.instances)
        ]
