"""The service as it runs in the simulation: its own code, over a ledger in memory and a policy that nobody changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

from imdsv2.aws.security_hub import SecurityHub
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.ledger.told import Told
from imdsv2.settings import Names, Settings
from imdsv2.wiring import service as wiring
from tests.bench.simulation.ledger import MemoryAccounts
from tests.world.dynamodb import Table
from tests.world.edge import MemberClients
from tests.world.security_hub import Findings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.policy import Policy
    from tests.bench.simulation.ledger import MemoryLedger
    from tests.world.clock import Clock
    from tests.world.edge import Place

SETTINGS = Settings(
    region="eu-west-1",
    ledger_table="ledger",
    policy_parameter="policy",
    notifications_topic_arn="topic",
    lease=timedelta(minutes=6),
    dead_letter_queue_url=None,
    quota_share=0.5,
    names=Names(member_roles="imdsv2-remediation-", manual_function="imdsv2-remediation-manual"),
)


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """A policy that nobody changes."""

    policy: Policy

    def current(self, now: datetime) -> PolicyInForce:
        return PolicyInForce(policy=self.policy)

    def keep(self, now: datetime) -> None:
        """There is nothing to remember."""


@dataclass(slots=True)
class Listener:
    """People, who hear of everything at once, and act on an open breaker."""

    ledger: MemoryLedger
    breakers: list[Account] = field(default_factory=list)

    def tell(
        self,
        arns: Collection[InstanceArn],
        now: datetime,
        *,
        workflow: bool,
        paid: Mapping[InstanceArn, frozenset[str]] | None = None,
    ) -> None:
        """Notes and notifications decide nothing, but what records owe is done with."""
        told = {
            arn: Told(record=record, notified=True, paid=(paid or {}).get(arn, frozenset()))
            for arn, record in self.ledger.read(arns).items()
        }
        self.ledger.mark_told(told, now)

    def breaker_opened(self, account: Account) -> bool:
        self.breakers.append(account)
        return True


def assembled(
    clock: Clock,
    places: Mapping[tuple[str, str], Place[Any]],
    policy: Policy,
    ledger: MemoryLedger,
    people: Listener,
) -> tuple[wiring.Service, MemoryAccounts]:
    """The service, and its accounts. Neither the policy nor a calendar is asked for, and nobody reads the topic."""
    logger: Any = logging.getLogger("simulation")
    logger.addHandler(logging.NullHandler())
    table = Table().client
    accounts = MemoryAccounts(table, SETTINGS.ledger_table)
    edge = wiring.Edge(
        clients=cast("Any", MemberClients(places)),
        dynamodb=table,
        ssm=cast("Any", None),
        sns=cast("Any", None),
        hub=SecurityHub(Findings().client, logger),
        now=clock,
        logger=logger,
    )
    replaced: dict[str, Any] = {
        "Ledger": lambda *_: ledger,
        "Accounts": lambda *_: accounts,
        "PolicySource": lambda *_: FixedPolicy(policy),
        "Teller": lambda *_: people,
    }
    with mock.patch.multiple(wiring, **replaced):
        return wiring.assemble(edge, SETTINGS), accounts
