"""The service's event bus. IAM: ``events:PutEvents`` on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imdsv2.domain.batches import batched

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ENTRIES_A_CALL = 10


@dataclass(frozen=True, slots=True)
class Bus:
    """Puts events on the bus. ``source``: what they name as theirs; no rule of the service listens for it."""

    events: Any
    name: str
    source: str

    def put(self, details: Sequence[Mapping[str, Any]]) -> int:
        """Put events on the bus, in their order. Returns how many were taken before the first that was not.

        Raises ClientError or BotoCoreError if a whole call fails.
        """
        taken = 0
        for batch in batched(details, _ENTRIES_A_CALL):
            answer = self.events.put_events(Entries=[self._entry(each) for each in batch])
            for each in answer["Entries"]:
                if each.get("ErrorCode"):
                    return taken
                taken += 1
        return taken

    def _entry(self, detail: Mapping[str, Any]) -> dict[str, Any]:
        target = str(detail["target"])
        return {
            "EventBusName": self.name,
            "Source": self.source,
            "DetailType": detail["kind"],
            "Time": detail["at"],
            "Resources": [target] if target.startswith("arn:") else [],
            "Detail": json.dumps(detail),
        }
