"""The service's thread pools, replaced: one thing after the other, so that a run that fails fails again."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from imdsv2.aws import cloudwatch
from imdsv2.guard import rollback
from imdsv2.guard import run as guard
from imdsv2.ledger import table, transactions
from imdsv2.line import act, enforce
from imdsv2.line import run as line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADED = (act, cloudwatch, enforce, guard, line, rollback, table, transactions)
"""The modules that use a `ThreadPoolExecutor`, each by that name."""


class SerialPool:
    """A thread pool that works in the caller's thread, in the order in which it was asked."""

    def __init__(self, max_workers: int = 1) -> None:
        """As many workers as wanted, all of them this one."""

    def __enter__(self) -> SerialPool:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to wait for."""

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """The results, in order."""
        return [work(each) for each in items]

    def submit(self, work: Callable[..., Any], *what: Any) -> Future[Any]:
        """The work, done at once; its future raises what it raised."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*what))
        except Exception as error:  # noqa: BLE001 - as a pool does
            future.set_exception(error)
        return future
