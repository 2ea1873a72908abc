"""A fake of the world, whose operations are recorded and held against botocore's model of the service."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.model import OperationModel, Shape

_COMMON = {"ValidationError", "ValidationException"}
"""What a service may answer to any operation (Common Errors of the API references), and a model does not name."""


@cache
def operations(service: str) -> Mapping[str, OperationModel]:
    """The operations of a service, by the names of boto3's methods."""
    model = get_session().get_service_model(service)
    return {xform_name(name): model.operation_model(name) for name in model.operation_names}


class Recorded:
    """A fake as the code under test knows it, which remembers its operations and fails on what AWS could not be asked or
    could not say."""

    def __init__(self, service: str, fake: Any) -> None:
        self._service, self._fake = service, fake
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        known = operations(self._service)
        found = getattr(self._fake, name)
        if name not in known:
            return found

        def ask(**request: Any) -> Any:
            self.asked.add(name)
            return _checked(found, known[name], request)

        return ask


def _checked(method: Any, operation: OperationModel, request: Mapping[str, Any]) -> Any:
    _check(request, operation.input_shape, operation.name)
    try:
        answer = method(**request)
    except ClientError as error:
        code, declared = error.response["Error"]["Code"], _codes(operation)
        assert not declared or code in declared | _COMMON, f"{operation.name} does not know {code}"
        raise
    _check(answer or {}, operation.output_shape, operation.name)
    return answer


def _codes(operation: OperationModel) -> set[str]:
    return {str(shape.metadata.get("error", {}).get("code", shape.name)) for shape in operation.error_shapes}


def _check(value: Mapping[str, Any], shape: Shape | None, name: str) -> None:
    if shape is None:
        assert not value, f"{name}: {value}"
        return
    report = ParamValidator().validate(value, shape)
    assert not report.has_errors(), f"{name}: {report.generate_report()}"
