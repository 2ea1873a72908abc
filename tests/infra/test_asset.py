"""The asset contains everything the handlers need and nothing else, and the same bytes every time."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape
from botocore.session import get_session

from imdsv2.aws.ec2 import list_instances, parsed
from imdsv2.domain.instance import Place
from infra.asset import LAMBDAS, SOURCE_MODELS, WEB_FRAMEWORK, assemble
from infra.bytecode import VERSION, interpreter
from infra.service_models import NOT_READ, OPERATIONS, READ, SOURCE_OPERATIONS
from tests.infra.templates import SECURITY_ACCOUNT, Template

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

REGION_OF_EVERY_PARTITION = ("eu-west-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1")


@pytest.fixture(scope="module")
def asset(assembly: Path) -> Path:
    """The directory that contains the code of all functions."""
    (directory,) = assembly.glob("asset.*")
    return directory


@pytest.fixture(scope="module")
def shipped(asset: Path) -> Loader:
    """botocore's loader, which sees only the shipped files."""
    return Loader(extra_search_paths=[str(asset / "botocore/data")], include_default_search_paths=False)


def test_the_same_sources_give_the_same_bytes(asset: Path, tmp_path: Path) -> None:
    """Otherwise every deployment would replace every function."""
    assemble(tmp_path, interpreter())
    assert contents(asset) == contents(tmp_path)


def contents(directory: Path) -> dict[str, bytes]:
    """Path to bytes."""
    return {str(each.relative_to(directory)): each.read_bytes() for each in directory.rglob("*") if each.is_file()}


def test_nothing_is_shipped_that_only_an_installer_or_interpreter_leaves(asset: Path) -> None:
    """Package records name the machine, and bytecode that pip made is checked against the times of files."""
    unwanted = {".dist-info", ".so"}
    assert [] == [each for each in contents(asset) if any(mark in each for mark in unwanted)]
    compiled = {path.suffixes[0] for path in asset.rglob("*.pyc")}
    assert compiled == ({f".cpython-{VERSION.replace('.', '')}"} if interpreter() else set())
    assert not (asset / "boto3").exists()


def test_the_web_framework_of_powertools_is_not_shipped(asset: Path) -> None:
    """It has the pages of a documentation's reader, and no function answers HTTP."""
    assert (asset / "aws_lambda_powertools" / "metrics").is_dir()
    assert not (asset / WEB_FRAMEWORK).exists()


def test_handlers_start_from_what_is_shipped_alone(asset: Path, template: Template) -> None:
    """In an interpreter that sees nothing else, in the environment that the template gives each function."""
    failures = {}
    for function in template.resources("AWS::Lambda::Function").values():
        module, attribute = function["Handler"].split(".")
        environment = {
            **{name: str(value) for name, value in function["Environment"]["Variables"].items()},
            "PATH": os.environ["PATH"],
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_LAMBDA_FUNCTION_NAME": function["FunctionName"],
        }
        script = f"import sys; sys.path.insert(0, {str(asset)!r}); import {module}; {module}.{attribute}"
        command = [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", script]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            failures[module] = run.stderr
    assert {} == failures


@pytest.mark.parametrize(
    ("service", "operation"),
    [(service, operation) for service, operations in OPERATIONS.items() for operation in sorted(operations)],
)
def test_an_operation_that_is_shipped_is_whole(service: str, operation: str, shipped: Loader) -> None:
    """Input, output and errors equal those of the full model, at any depth, but for what nobody reads."""
    whole = described(model(Loader(), service).operation_model(operation), left_out(service))
    assert whole == described(model(shipped, service).operation_model(operation))


def test_nobody_names_what_is_not_shipped() -> None:
    """A member without its model would be missing from every answer, and nothing would tell."""
    members = {member for shapes in NOT_READ.values() for members in shapes.values() for member in members}
    named = {
        each.value
        for path in LAMBDAS.rglob("*.py")
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.Constant)
    }
    assert set() == members & named


@pytest.mark.parametrize("operation", sorted(SOURCE_OPERATIONS["ec2"]))
def test_an_operation_about_sources_is_whole(operation: str, asset: Path) -> None:
    """It is shipped apart: no function reads it that is not asked about sources."""
    apart = Loader(extra_search_paths=[str(asset / SOURCE_MODELS)], include_default_search_paths=False)
    assert described(model(Loader(), "ec2").operation_model(operation), left_out("ec2")) == described(
        model(apart, "ec2").operation_model(operation)
    )


def left_out(service: str) -> dict[str, Collection[str]]:
    """Members of shapes that the shipped models have not."""
    shapes = Loader().load_service_model(service, "service-2")["shapes"]
    unread = {shape: shapes[shape]["members"].keys() - read for shape, read in READ.get(service, {}).items()}
    return {**NOT_READ.get(service, {}), **unread}


def test_of_an_instance_just_what_is_read_is_shipped() -> None:
    """All that EC2 may say of an instance is there, whatever its words are, and notes whether it was asked for."""
    asked: dict[str, set[str]] = {}
    for word in ("running", "stopped", "ebs"):
        reservation = said(model(Loader(), "ec2").shape_for("Reservation"), asked, word)
        noted: list[Any] = []
        list_instances(Mock(describe_instances=Mock(return_value={"Reservations": [reservation]})), noted.extend)
        parsed(Place("aws", "eu-west-1", "111111111111"), noted)
    assert READ["ec2"] == {name: asked[name] for name in READ["ec2"]}


class Said(dict[str, Any]):
    """A part of an answer, which notes what it is asked for."""

    def __init__(self, members: Mapping[str, Any], asked: set[str]) -> None:
        super().__init__(members)
        self.asked = asked

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As any dict has it."""
        self.asked.add(name)
        return super().get(name, default)


def said(value: Shape, asked: dict[str, set[str]], word: str) -> Any:
    """A value of a shape, with all members that it may have; each string is this word."""
    match value:
        case StructureShape():
            members = {name: said(each, asked, word) for name, each in value.members.items()}
            return Said(members, asked.setdefault(value.name, set()))
        case ListShape():
            return [said(value.member, asked, word)]
    kinds = {"timestamp": datetime(2026, 3, 1, tzinfo=UTC), "integer": 0, "boolean": True, "double": 0.0}
    return kinds.get(value.type_name, word)


def test_a_session_for_sources_reads_what_is_shipped_apart(asset: Path) -> None:
    """And has the endpoints and retries of any other."""
    script = (
        f"import sys; sys.path.insert(0, {str(asset)!r})\n"
        "from imdsv2.aws.parsing import source_session\n"
        "ec2 = source_session().create_client('ec2', region_name='eu-west-1', aws_access_key_id='a', aws_secret_access_key='b')\n"
        "print(*sorted(ec2.meta.service_model.operation_names), ec2.meta.endpoint_url)"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", script], capture_output=True, text=True, check=True)
    assert [*sorted(SOURCE_OPERATIONS["ec2"]), "https://ec2.eu-west-1.amazonaws.com"] == run.stdout.split()


@pytest.mark.parametrize("service", OPERATIONS)
def test_no_other_operation_is_shipped(service: str, shipped: Loader) -> None:
    """What is not in the list costs nothing at start."""
    assert OPERATIONS[service] == set(model(shipped, service).operation_names)


@pytest.mark.parametrize("region", REGION_OF_EVERY_PARTITION)
@pytest.mark.parametrize("service", OPERATIONS)
def test_clients_find_the_same_endpoint(service: str, region: str, shipped: Loader) -> None:
    """Also in partitions whose hosts have other names."""
    assert endpoint(Loader(), service, region) == endpoint(shipped, service, region)


def test_the_account_is_not_in_what_is_shipped(asset: Path) -> None:
    """The code is the same in every account."""
    own_code = list(asset.glob("*.py")) + list((asset / "imdsv2").rglob("*.py"))
    assert [] == [path.name for path in own_code if SECURITY_ACCOUNT in path.read_text()]


def model(loader: Loader, service: str) -> ServiceModel:
    """A service's model as a loader reads it."""
    return ServiceModel(loader.load_service_model(service, "service-2"), service_name=service)


def endpoint(loader: Loader, service: str, region: str) -> str:
    """The URL to which a client sends its requests."""
    session = get_session()
    session.register_component("data_loader", loader)
    client = session.create_client(
        service,
        region_name=region,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    return str(client.meta.endpoint_url)


def described(
    operation: OperationModel, without: Mapping[str, Collection[str]] = MappingProxyType({})
) -> dict[str, Any]:
    """Everything that determines how a request is serialised and an answer is parsed, without some members of shapes."""
    return {
        "http": operation.http,
        "input": shape(operation.input_shape, (), without),
        "output": shape(operation.output_shape, (), without),
        "errors": [shape(each, (), without) for each in operation.error_shapes],
    }


def shape(value: Shape | None, parents: tuple[str, ...], without: Mapping[str, Collection[str]]) -> Any:
    """A shape and all shapes within it; a recursive one is named and not expanded again."""
    if value is None or value.name in parents:
        return value and value.name
    inner = (*parents, value.name)
    own = (value.name, value.type_name, dict(value.serialization), dict(value.metadata))
    match value:
        case StructureShape():
            left_out = without.get(value.name, ())
            members = {name: each for name, each in value.members.items() if name not in left_out}
            return (*own, {name: shape(each, inner, without) for name, each in members.items()})
        case ListShape():
            return (*own, shape(value.member, inner, without))
        case MapShape():
            return (*own, shape(value.key, inner, without), shape(value.value, inner, without))
    return own
