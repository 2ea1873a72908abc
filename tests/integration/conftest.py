"""moto in process, corrected where it differs from AWS in a way that would affect these tests."""

from __future__ import annotations

import copy
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import botocore.session
import moto.dynamodb.models as dynamodb_models
import pytest
from botocore import handlers
from botocore.loaders import create_loader
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.ec2.models.instances import InstanceBackend
from moto.ec2.utils import filter_dict_attribute_mapping

from imdsv2.aws import metadata_options as action
from imdsv2.ledger.table import Ledger
from tests.integration.answers import Metrics, Wire, answer_findings
from tests.integration.builders import NOW, REGION, Cloud, Stub
from tests.world.clock import Clock
from tests.world.ledger_table import TABLE, create_table
from tests.world.lossy import LossyTable
from tests.world.refusal import refusal
from tests.world.security_hub import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator


_LOADER = create_loader()
"""One for all tests: EC2's model alone takes a second to load."""


@pytest.fixture(autouse=True)
def _no_account_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the AWS configuration of the shell out of the tests."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DATA_PATH", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setattr(botocore.session, "create_loader", lambda _: _LOADER)


@pytest.fixture
def stub() -> Iterator[Stub]:
    """Clients whose requests and answers are checked against botocore's models, without an AWS behind them."""
    made = Stub(botocore.session.Session())
    yield made
    made.check_all_used()


@pytest.fixture
def table() -> LossyTable:
    """The ledger's table in memory, whose answers can get lost."""
    return LossyTable()


@pytest.fixture
def ledger(table: LossyTable) -> Ledger:
    """The ledger of one function, on that table."""
    return Ledger(table.client, TABLE)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[botocore.session.Session]:
    """moto as others use it: created before the wire, so that its calls are not recorded."""
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # 1,300 of them for every account and Region.
    _one_at_a_time(monkeypatch)
    _transactions_copy_the_table_once(monkeypatch)
    monkeypatch.setattr(InstanceBackend, "modify_instance_metadata_options", _modify)
    monkeypatch.setitem(filter_dict_attribute_mapping, "metadata-options.http-tokens", "metadata_options.http_tokens")
    with mock_aws():
        yield botocore.session.Session()


@pytest.fixture
def wire(outside: botocore.session.Session, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Records every call of clients created from now on."""
    monkeypatch.setattr(action, "_READ_BACK_AFTER", (0, 0, 0))
    wire = Wire()
    wire.fake("ModifyInstanceMetadataOptions", _dry_run)
    wire.fake("DescribeImages", _own_images)
    wire.fake("LookupEvents", lambda _: {"Events": []})
    known = cast("list[Any]", handlers.BUILTIN_HANDLERS)
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [*known, *wire.handlers()])
    return wire


@pytest.fixture
def cloud(outside: botocore.session.Session, wire: Wire) -> Cloud:
    """An AWS with the stack's ledger, policy, topic and dead-letter queue, and no instances."""
    create_table(outside.create_client("dynamodb", region_name=REGION))
    sns: Any = outside.create_client("sns", region_name=REGION)
    sqs: Any = outside.create_client("sqs", region_name=REGION)
    clock, findings = Clock(NOW), Findings()
    answer_findings(wire, findings)
    made = Cloud(
        wire=wire,
        clock=clock,
        hub=findings,
        metrics=Metrics(wire, clock),
        session=botocore.session.Session(),
        outside=outside,
        topic_arn=sns.create_topic(Name="notifications")["TopicArn"],
        dead_letter_url=sqs.create_queue(QueueName="dead-letters")["QueueUrl"],
    )
    made.policy(mode="enforce")
    return made


def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto's state has no lock: without this, its transactions are not atomic among threads, as AWS's are."""
    lock, process = threading.RLock(), BotocoreStubber.process_request

    def locked(self: BotocoreStubber, request: Any) -> Any:
        with lock:
            return process(self, request)

    monkeypatch.setattr(BotocoreStubber, "process_request", locked)


def _transactions_copy_the_table_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto copies the whole table for every action of a transaction, which takes minutes for a batch."""
    transact = DynamoDBBackend.transact_write_items
    tables: dict[int, Any] = {}

    def deepcopy(value: Any) -> Any:
        if not isinstance(value, Table):
            return copy.deepcopy(value)
        if id(value) not in tables:
            tables[id(value)] = copy.deepcopy(value)
        return tables[id(value)]

    def copying_once(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        tables.clear()
        transact(self, transact_items)

    monkeypatch.setattr(dynamodb_models, "copy", SimpleNamespace(copy=copy.copy, deepcopy=deepcopy))
    monkeypatch.setattr(DynamoDBBackend, "transact_write_items", copying_once)


def _modify(self: Any, instance_id: str, **sent: Any) -> Any:
    """EC2 keeps options that are not sent; moto forgets them."""
    options = self.get_instance(instance_id).metadata_options
    for name, value in sent.items():
        if value is not None and hasattr(options, name):
            setattr(options, name, value)
    return options


def _dry_run(call: Any) -> None:
    """moto would execute a dry run."""
    if call.params.get("DryRun"):
        raise refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", call.operation)


def _own_images(call: Any) -> dict[str, Any]:
    """Every AMI is the account's own; moto's are Amazon's and Canonical's."""
    asked = call.params["Filters"][0]["Values"]
    return {"Images": [{"ImageId": image, "OwnerId": call.account} for image in asked]}
