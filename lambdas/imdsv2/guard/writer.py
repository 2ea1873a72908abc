"""The guard's writes: what cannot be written is said in the log and counted, and comes again with the next pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.change import Change
    from imdsv2.ledger.table import Ledger
    from imdsv2.ledger.transactions import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Writes changes. ``unwritten``: the instances of which something could not be written since somebody last counted them.
    ``now``: the clock."""

    ledger: Ledger
    now: Callable[[], datetime]
    logger: Logger
    unwritten: set[InstanceArn] = field(default_factory=set)

    def write(self, changes: Iterable[Change]) -> Written:
        """Write changes, each for itself."""
        written = self.ledger.write(list(changes), self.now()).logged(self.logger)
        self.unwritten.update(written.failed)
        return written

    def count_unwritten(self) -> int:
        """How many instances could not be written since this was last asked."""
        count = len(self.unwritten)
        self.unwritten.clear()
        return count
