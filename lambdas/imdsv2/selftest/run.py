"""The steps of a self-test, each an invocation of the function: plan, launch, act, look, clean up, judge.

The state machine calls them in this order, with act and look once a minute until the agenda is over. Between the steps, what was seen
lies in S3. Only `launch` may fail; the state machine then goes on with `clean_up` and `judge`, so that instances are ended and a result
is written whatever happens. What a person stops, or Step Functions ends, has no next step: a rule has its instances ended by `end_left`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.errors import InvalidRequest
from imdsv2.selftest.account import Account
from imdsv2.selftest.agenda import LINE, Agenda, agenda_of
from imdsv2.selftest.deeds import Deeds
from imdsv2.selftest.looks import look, unanswered
from imdsv2.selftest.order import parse_order
from imdsv2.selftest.plan import plan
from imdsv2.selftest.report import judged, next_step, table, totals
from imdsv2.selftest.seen import LOOK, Seen, from_document, to_document
from imdsv2.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools import Logger
    from botocore.session import Session
    from mypy_boto3_sts import STSClient

    from imdsv2.selftest.home import Home
    from imdsv2.selftest.order import Order

Envelope = dict[str, Any]
"""What the states hand on: `execution`, `began_at`, `input`, `wait_seconds`, and from a look whether it is `over`."""

_SAFETY = "contradicted_for_safety"
_LONGEST_PROBLEM = 4000
_LOOKS_AFTER_LAUNCH, _BETWEEN_LOOKS_SECONDS = 3, 60
"""A launch takes a minute or so, and nothing stops one that is under way when a person stops its execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """One self-test in progress. The edge hands in clients, clock and sleep."""

    session: Session
    sts: STSClient
    home: Home
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    logger: Logger

    def plan(self, event: Mapping[str, Any]) -> Envelope:
        """Parse the input. Raises InvalidRequest, which fails the execution with its message."""
        order, agenda = self._order_and_agenda(event)
        return {**_passed_on(event), "confirm": order.confirm, "plan": plan(order, agenda)}

    def launch(self, event: Mapping[str, Any]) -> Envelope:
        """Launch the instances. Raises one of CALL_FAILURES."""
        order, agenda = self._order_and_agenda(event)
        nothing = Seen(began_at=agenda.began_at, minute_seconds=order.minute_seconds, instances={})
        self._keep(event, nothing)
        instances = self._account(event, order).launch(agenda)
        self._keep(event, replace(nothing, instances=instances))
        return self._goes_on(event, agenda)

    def act(self, event: Mapping[str, Any]) -> Envelope:
        """Do what is due."""
        order, agenda = self._order_and_agenda(event)
        seen = self._kept(event)
        deed = agenda.due(self.now(), seen)
        if deed is not None:
            self._keep(event, self._do(deed, seen, self._account(event, order)))
        return self._goes_on(event, agenda)

    def look(self, event: Mapping[str, Any]) -> Envelope:
        """Look once. A look that fails is left out; the next one sees what it missed."""
        order, agenda = self._order_and_agenda(event)
        seen = self._kept(event)
        try:
            seen = look(self._account(event, order), self.home, seen, self.now)
        except CALL_FAILURES as error:
            self.logger.warning("look failed", extra={"problem": describe_error(error)})
            seen = seen.with_answers([unanswered(LOOK, self.now(), error)])
        self._keep(event, seen)
        return {**self._goes_on(event, agenda), "over": agenda.is_over(self.now(), seen)}

    def clean_up(self, event: Mapping[str, Any]) -> Envelope:
        """End every instance, and release what the part of the line may hold. Raises one of CALL_FAILURES."""
        order, agenda = self._order_and_agenda(event)
        account = self._account(event, order)
        ended = account.end_all()
        seen = self._kept(event)
        if not seen.instances:
            ended += self._end_what_is_shown_late(account, order)
        self.logger.info("instances ended", extra={"instances": ended})
        self._release(event, seen, account)
        return {**self._goes_on(event, agenda), **_error(event)}

    def end_left(self, ended: Mapping[str, Any]) -> dict[str, Any]:
        """End every instance of an execution that has ended itself. ``ended``: what Step Functions tells of it. Raises one of
        CALL_FAILURES; Lambda then tries it again."""
        try:
            order = parse_order(json.loads(ended["input"]))
        except (InvalidRequest, TypeError, ValueError):
            # Nothing was launched with it. Of an input that is too long for an event, Step Functions tells none.
            return {"ended": []}
        if not order.confirm:
            return {"ended": []}
        account = Account(self.session, self.sts, order, self.home.names.role, ended["name"])
        instances = list(dict.fromkeys([*account.end_all(), *self._end_what_is_shown_late(account, order)]))
        self.logger.info("instances ended", extra={"instances": instances, "status": ended["status"]})
        event = {"execution": ended["name"]}
        try:
            self._release(event, self._kept(event), account)
        except CALL_FAILURES as error:
            # It was stopped before anything was kept of it.
            self.logger.warning("nothing was kept", extra={"problem": describe_error(error)})
        return {"ended": instances}

    def _end_what_is_shown_late(self, account: Account, order: Order) -> list[str]:
        """End what a launch launched whose answer was not kept: it may still be under way, and EC2 lists instances late."""
        ended: set[str] = set()
        for _ in range(_LOOKS_AFTER_LAUNCH):
            self.sleep(_BETWEEN_LOOKS_SECONDS * order.minute_seconds / 60)
            ended |= set(account.end_all())
        return sorted(ended)

    def _release(self, event: Mapping[str, Any], seen: Seen, account: Account) -> None:
        """Release what a rollback of the part of the line holds."""
        if "enforce" in seen.done and "clear" not in seen.done and LINE in seen.instances:
            self._keep(event, self._do("clear", seen, account))

    def judge(self, event: Mapping[str, Any]) -> Envelope:
        """Judge every belief, write result and table, and set the policy to `observe` if it was asked for and is due."""
        order, _ = self._order_and_agenda(event)
        seen = self._kept(event)
        rows = judged(seen)
        counted = totals(rows)
        policy = None
        if counted[_SAFETY] and order.set_observe_if_contradicted:
            policy = self.home.set_observe()
        summary = {
            "execution": event["execution"],
            "version": VERSION,
            "account": order.account,
            "region": order.region,
            "began_at": event["began_at"],
            "ended_at": self.now().isoformat(),
            "problem": _problem(event),
            "policy": policy,
            "next": next_step(counted, seen),
            **counted,
        }
        result, as_table = (f"{_folder(event)}/{name}" for name in ("result.json", "result.csv"))
        document = {**summary, "beliefs": rows, "observations": to_document(seen)}
        self.home.write(result, json.dumps(document, indent=1))
        self.home.write(as_table, table(rows), "text/csv")
        self.logger.info("self-test", extra={"summary": summary})
        return {**summary, "bucket": self.home.names.bucket, "key": result, "table": as_table}

    def _do(self, deed: str, seen: Seen, account: Account) -> Seen:
        deeds = Deeds(account=account, home=self.home, seen=seen, now=self.now, sleep=self.sleep)
        deeds.do(deed)
        for answer in deeds.answers:
            told = {"name": answer.name, "code": answer.code, "error": answer.message}
            self.logger.info("self-test answer", extra={"answer": told})
        return replace(seen.with_answers(deeds.answers), done=(*seen.done, deed), sights=(*seen.sights, *deeds.sights))

    def _order_and_agenda(self, event: Mapping[str, Any]) -> tuple[Order, Agenda]:
        order = parse_order(event["input"])
        return order, agenda_of(order, datetime.fromisoformat(event["began_at"]))

    def _account(self, event: Mapping[str, Any], order: Order) -> Account:
        return Account(self.session, self.sts, order, self.home.names.role, event["execution"])

    def _goes_on(self, event: Mapping[str, Any], agenda: Agenda) -> Envelope:
        return {**_passed_on(event), "wait_seconds": max(1, round(agenda.minute_seconds))}

    def _keep(self, event: Mapping[str, Any], seen: Seen) -> None:
        self.home.write(f"{_folder(event)}/seen.json", json.dumps(to_document(seen)))

    def _kept(self, event: Mapping[str, Any]) -> Seen:
        return from_document(self.home.read(f"{_folder(event)}/seen.json"))


def _folder(event: Mapping[str, Any]) -> str:
    return f"selftest/{event['execution']}"


def _passed_on(event: Mapping[str, Any]) -> Envelope:
    return {name: event[name] for name in ("execution", "began_at", "input")}


def _error(event: Mapping[str, Any]) -> Envelope:
    """What made the state machine leave the agenda, if anything did: as it passes it on."""
    return {"error": event["error"]} if event.get("error") else {}


def _problem(event: Mapping[str, Any]) -> str | None:
    """The same in one text."""
    error = event.get("error")
    return f"{error.get('Error')}: {error.get('Cause')}"[:_LONGEST_PROBLEM] if error else None
