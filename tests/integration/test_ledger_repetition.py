"""A write whose answer got lost is sent again: it recognises itself, and is neither done twice nor taken for another's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.cohort import Cohort
from imdsv2.domain.instance import Place
from imdsv2.domain.lifecycle import Status
from imdsv2.ledger import account as accounts_module
from imdsv2.ledger import transactions
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.cohort import Cohorts
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.table import Ledger
from tests.integration.builders import MEMBER, NOW, REGION, arn_of, count_broken, known_finding
from tests.world.ledger_table import TABLE
from tests.world.records import change

if TYPE_CHECKING:
    from tests.world.lossy import LossyTable

ARN, OTHER = arn_of("a"), arn_of("b")
HERE = Place("aws", REGION, MEMBER)
MINUTE = timedelta(minutes=1)
UNTIL = NOW + 6 * MINUTE
ENFORCING: dict[str, Any] = {"status": Status.ENFORCING, "owner": "me"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (transactions, accounts_module):
        monkeypatch.setattr(module, "pause", lambda _: None)


@pytest.fixture
def accounts(table: LossyTable) -> Accounts:
    """The accounts of one function."""
    return Accounts(table.client, TABLE)


# --- Transactions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgets", [False, True])
@pytest.mark.parametrize("loses", [1, 3])
def test_a_transaction_that_was_done_without_an_answer_is_done_once(
    loses: int, forgets: bool, ledger: Ledger, table: LossyTable
) -> None:
    """By its token; and by the id in the item, where DynamoDB does not know the token any more."""
    table.loses, table.forgets = loses, forgets
    changes = [change(record, known_finding("x"), **ENFORCING) for record in ledger.read([ARN, OTHER]).values()]
    assert frozenset() == ledger.write(changes, NOW).lost
    assert [1, 1] == [record.version for record in ledger.read([ARN, OTHER]).values()]
    assert 4 == len(table.items), "two items, with one event each"


def test_all_tries_of_a_transaction_have_one_token_and_another_has_its_own(ledger: Ledger, table: LossyTable) -> None:
    """As long as it is unknown whether it was done."""
    table.loses = 2
    ledger.write([change(ledger.read([ARN])[ARN], **ENFORCING)], NOW)
    ledger.write([change(ledger.read([OTHER])[OTHER], **ENFORCING)], NOW)
    assert [3, 1] == [table.tokens.count(token) for token in dict.fromkeys(table.tokens)]


def test_whoever_comes_between_a_lost_answer_and_its_repetition_is_not_overwritten(
    ledger: Ledger, table: LossyTable
) -> None:
    """Our write was done, another took the item over, our repetition fails: the other's stands, and we are overtaken."""
    table.loses, table.forgets = 1, True
    other = Ledger(table.client, TABLE)

    def take_over(actions: Any) -> None:
        if len(table.tokens) == 2:
            other.write([change(other.read([ARN])[ARN], owner="other")], NOW)

    table.refuse = take_over
    assert {ARN} == ledger.write([change(ledger.read([ARN])[ARN], **ENFORCING)], NOW).overtaken
    assert "other" == ledger.read([ARN])[ARN].owner


def test_a_claim_that_is_repeated_is_ours(ledger: Ledger, table: LossyTable) -> None:
    """Otherwise the instance would be claimed by nobody until the lease ends."""
    ledger.write([change(ledger.read([ARN])[ARN], revisit_at=NOW, **ENFORCING)], NOW)
    table.loses, table.forgets = 1, True
    due = ledger.indexes.due(NOW, 10)
    assert [[ARN], []] == [ledger.claim(due, UNTIL), ledger.claim(due, UNTIL)]


# --- Single items --------------------------------------------------------------------------------------------------


def test_cap_is_reserved_and_settled_once(accounts: Accounts, table: LossyTable) -> None:
    """Every write is sent twice: ten are reserved, four of them changed, six are free again, not twelve."""
    table.repeats = True
    reservation, _ = accounts.reserve(HERE, 10, 10, NOW, UNTIL)
    assert (10, 0) == (reservation.count, accounts.of(HERE).room(REGION, 10, NOW))
    accounts.settle(HERE, reservation, [NOW] * 4, NOW + MINUTE)
    assert 6 == accounts.of(HERE).room(REGION, 10, NOW + MINUTE)


def test_cap_is_settled_once_even_if_another_reserves_in_between(accounts: Accounts, table: LossyTable) -> None:
    """The settlement is done without an answer, another function writes the item, and the repetition finds neither the version nor
    its id: what was free is taken by then, and stays taken."""
    reservation, _ = accounts.reserve(HERE, 10, 10, NOW, UNTIL)
    other = Accounts(table.client, TABLE)

    def reserve() -> None:
        table.repeats = False
        other.reserve(HERE, 6, 10, NOW + MINUTE, UNTIL + MINUTE)

    table.repeats, table.between = True, reserve
    accounts.settle(HERE, reservation, [NOW] * 4, NOW + MINUTE)
    assert 0 == accounts.of(HERE).room(REGION, 10, NOW + MINUTE)


def test_cap_is_reserved_once_even_if_another_writes_in_between(accounts: Accounts, table: LossyTable) -> None:
    """The reservation is found by its id."""
    other = Accounts(table.client, TABLE)

    def reserve() -> None:
        table.repeats = False
        other.reserve(HERE, 1, 10, NOW, UNTIL)

    table.repeats, table.between = True, reserve
    assert 3 == accounts.reserve(HERE, 3, 10, NOW, UNTIL)[0].count
    assert 6 == accounts.of(HERE).room(REGION, 10, NOW)


def test_rollbacks_are_counted_once(accounts: Accounts, table: LossyTable) -> None:
    """Two that are counted twice would open the breaker."""
    table.repeats = True
    account = count_broken(accounts, "aws/222222222222", 2, 100, NOW)
    assert (2, None) == (len(account.rollbacks), account.breaker_opened_at)


@pytest.mark.parametrize("guarded_before", [False, True])
def test_an_account_is_claimed_by_who_claimed_it(guarded_before: bool, accounts: Accounts, table: LossyTable) -> None:
    """The guard would leave out an account that it believes to be another's; a second claim of the same pass is refused."""
    accounts.reserve(HERE, 1, 10, NOW, UNTIL)
    if guarded_before:
        accounts.claim(accounts.of(HERE), NOW - 5 * MINUTE)
    known = accounts.of(HERE)
    table.repeats = True
    assert [True, False] == [accounts.claim(known, NOW), accounts.claim(known, NOW)]


def test_a_cohort_is_saved_by_who_saved_it(table: LossyTable) -> None:
    """Otherwise its canaries would be chosen a second time."""
    table.repeats = True
    cohorts = Cohorts(table.client, TABLE)
    new = Cohort(key="web", canaries=(ARN,), wanted=1)
    assert [True, False] == [cohorts.save(new), cohorts.save(new)]
    assert 1 == cohorts.read(["web"])["web"].version


def test_a_finding_that_is_added_again_does_not_undo_what_others_noted_on_it(ledger: Ledger, table: LossyTable) -> None:
    """Added, answer lost, annotated by the run that owns the item, and added again: the note is still known."""
    ledger.write([change(ledger.read([ARN])[ARN], **ENFORCING)], NOW)
    finding, known = known_finding("x", updated_at=None), ledger.read([ARN])[ARN]
    other = Ledger(table.client, TABLE)

    def annotate() -> None:
        record = other.read([ARN])[ARN]
        other.write([change(record, known_finding("x", annotated_at=NOW), status=Status.ENFORCED)], NOW)

    table.repeats, table.between = True, annotate
    added = ledger.add_finding(known, finding)
    assert added is not None
    assert NOW == added.findings[key_of(finding)].annotated_at
    assert NOW == ledger.read([ARN])[ARN].findings[key_of(finding)].annotated_at
