"""Items pass the ledger's client as they would pass botocore's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.parsers import ResponseParserError, ResponseParserFactory
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.dynamodb import ItemParsers, ledger_client
from imdsv2.aws.parsing import new_session

ITEMS: Any = new_session().get_service_model("dynamodb").operation_model("Query").output_shape
PLAIN = (
    st.fixed_dictionaries({"S": st.text()})
    | st.fixed_dictionaries({"N": st.integers().map(str)})
    | st.fixed_dictionaries({"BOOL": st.booleans()})
    | st.just({"NULL": True})
    | st.fixed_dictionaries({"SS": st.lists(st.text(), min_size=1)})
    | st.fixed_dictionaries({"NS": st.lists(st.integers().map(str), min_size=1)})
)
FOREIGN: st.SearchStrategy[dict[str, Any]] = (
    st.fixed_dictionaries({"B": st.just("AP8=")})
    | st.fixed_dictionaries({"BS": st.just(["AP8=", "AQ=="])})
    | st.fixed_dictionaries({"X": st.text()})
    | st.just({})
)


def nested(values: Any) -> Any:
    """Values in maps and lists, too."""
    return st.recursive(
        values,
        lambda inner: (
            st.fixed_dictionaries({"M": st.dictionaries(st.text(), inner, max_size=4)})
            | st.fixed_dictionaries({"L": st.lists(inner, max_size=4)})
        ),
    )


SENT = st.dictionaries(st.text(min_size=1), nested(PLAIN), max_size=5)
READ = st.dictionaries(st.text(), nested(PLAIN | FOREIGN), max_size=6)


def items_read(factory: ResponseParserFactory, *items: Any) -> Any:
    """The items of an answer to a query, as these parsers read them."""
    answer = {"body": json.dumps({"Items": items}).encode(), "headers": {}, "status_code": 200}
    return factory.create_parser("json").parse(answer, ITEMS)["Items"]


@given(st.lists(READ, max_size=4))
def test_items_are_what_botocore_makes_of_them(items: list[dict[str, Any]]) -> None:
    """Bytes too, which nobody here writes, and types that DynamoDB does not have."""
    assert items_read(ResponseParserFactory(), *items) == items_read(ItemParsers(), *items)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        5,
        [],
        None,
        {"S": None},
        {"M": {"a": {"N": None}}},
        {"M": 5},
        {"L": {"S": "a"}},
        {"M": {"a": 5}},
        {"L": ["a"]},
    ],
)
def test_items_that_are_none_are_refused_or_read_as_botocore_does(value: Any) -> None:
    try:
        theirs = items_read(ResponseParserFactory(), {"a": value})
    except Exception:  # noqa: BLE001 - whatever it is, ours says it as one error
        with pytest.raises(ResponseParserError):
            items_read(ItemParsers(), {"a": value})
    else:
        assert theirs == items_read(ItemParsers(), {"a": value})


class _Empty:
    def stream(self, **_: Any) -> Any:
        yield b"{}"


class Sending:
    """A client whose requests are caught on their way."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.bodies: list[bytes] = []
        client._request_signer._credentials = Credentials("a", "b")
        client.meta.events.register("before-send", self._catch)

    def _catch(self, request: Any, **_: Any) -> AWSResponse:
        self.bodies.append(request.body)
        return AWSResponse("https://aws", 200, HTTPHeaders(), _Empty())

    def sent(self, item: Any) -> list[bytes]:
        """What goes to DynamoDB when an item is written and read in all the ways of the ledger."""
        self.bodies.clear()
        values = {f":v{number}": value for number, value in enumerate(item.values())}
        names = {f"#n{number}": name for number, name in enumerate(item)}
        key = {"pk": {"S": "a"}, "sk": {"S": "current"}}
        put = {"TableName": "t", "Item": item, "ConditionExpression": "attribute_not_exists(pk)"}
        update = {
            "TableName": "t",
            "Key": key,
            "UpdateExpression": "SET #n0 = :v0",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
        }
        check = {"TableName": "t", "Key": key, "ConditionExpression": "attribute_exists(pk)"}
        self.client.put_item(**put)
        self.client.update_item(**update)
        self.client.get_item(TableName="t", Key=key, ConsistentRead=True)
        self.client.batch_get_item(RequestItems={"t": {"Keys": [key, key], "ConsistentRead": True}})
        self.client.query(TableName="t", KeyConditionExpression="pk = :v0", ExpressionAttributeValues=values, Limit=5)
        actions = [
            {"Put": put},
            {"Update": update},
            {"ConditionCheck": check},
            {"Delete": {"TableName": "t", "Key": key}},
        ]
        self.client.transact_write_items(TransactItems=actions, ClientRequestToken="token")
        return self.bodies


PLAIN_CLIENT = Sending(new_session().create_client("dynamodb", region_name="eu-west-1"))
LEDGER_CLIENT = Sending(ledger_client(new_session(), "eu-west-1"))


@given(SENT)
def test_what_is_sent_is_what_botocore_sends(item: dict[str, Any]) -> None:
    """Byte by byte, in all calls that the ledger makes."""
    assert 6 == len(PLAIN_CLIENT.sent(item))
    assert PLAIN_CLIENT.bodies == LEDGER_CLIENT.sent(item)


def test_bytes_are_not_sent_as_something_else() -> None:
    with pytest.raises(TypeError, match="bytes"):
        LEDGER_CLIENT.sent({"a": {"B": b"1"}})
