"""How the calls of a client go on: each waits for its quota, is not repeated for ever where nobody answers, and says whether one of
its attempts may have been carried out. Handlers of botocore's events."""

from __future__ import annotations

import time
from threading import local
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ReadTimeoutError

from imdsv2.aws.errors import IN_DOUBT, THROTTLING, TOO_MANY_REQUESTS
from imdsv2.aws.pacing import LEAST_DATAPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imdsv2.aws.pacing import Pacing
    from imdsv2.domain.instance import Place

ATTEMPTS = 5
_ATTEMPTS_UNANSWERED = 2
"""After two read timeouts of 30 seconds each, the call fails: other work waits for this invocation too."""
_COST = "imdsv2-cost"
"""The key under which a call's cost is kept in botocore's request context."""


def give_up(client: Any) -> None:
    """Limit how often each call of a client waits for an answer."""

    def after(attempts: int, caught_exception: Exception | None, **_: Any) -> None:
        if isinstance(caught_exception, ReadTimeoutError) and attempts >= _ATTEMPTS_UNANSWERED:
            raise caught_exception

    client.meta.events.register("needs-retry", after)


class Turn(local):
    """The call whose quota this thread has waited for already."""

    operation: str | None = None


def note_doubt(client: Any) -> None:
    """Remember for each call that AWS may have executed one of its attempts, and say so with the answer to the last."""

    def after(response: Any, request_dict: Mapping[str, Any], **_: Any) -> None:
        context = request_dict["context"]
        if response is None or (response[0].status_code >= 500 and not _is_throttled(response)):
            context[IN_DOUBT] = True
        if response is not None and context.get(IN_DOUBT):
            response[1].setdefault("ResponseMetadata", {})[IN_DOUBT] = True

    client.meta.events.register("needs-retry", after)


def pace(
    client: Any, place: Place, pacing: Pacing, sleep: Callable[[float], None] = time.sleep, turn: Turn | None = None
) -> None:
    """Make each request of a client, including botocore's retries, wait for its quota. ``turn``: what has waited already."""

    def before(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context[_COST] = _cost(params)
        if turn is not None and turn.operation == model.name:
            turn.operation = None
            return
        sleep(pacing.reserve(place, model.name, context[_COST]))

    def after(response: Any, operation: Any, attempts: int, request_dict: Mapping[str, Any], **_: Any) -> None:
        context = request_dict["context"]
        if _is_throttled(response):
            pacing.throttled(place, operation.name)
        elif response is not None and response[0].status_code < 500:
            return
        if attempts < ATTEMPTS:
            in_doubt = context.get(IN_DOUBT, False)
            sleep(pacing.reserve(place, operation.name, context[_COST], in_doubt=in_doubt))

    client.meta.events.register("before-parameter-build", before)
    client.meta.events.register("needs-retry", after)


def _is_throttled(response: Any) -> bool:
    if response is None:
        return False
    return response[0].status_code == TOO_MANY_REQUESTS or response[1].get("Error", {}).get("Code") in THROTTLING


def _cost(params: Mapping[str, Any]) -> float:
    """The cost of a call: one token, or the number of datapoints that it requests."""
    if "MetricDataQueries" not in params:
        return 1.0
    seconds = (params["EndTime"] - params["StartTime"]).total_seconds()
    datapoints = sum(seconds / query["MetricStat"]["Period"] for query in params["MetricDataQueries"])
    return max(LEAST_DATAPOINTS, float(datapoints))
