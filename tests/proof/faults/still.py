"""Takes threads, waiting and the shell's AWS configuration out of the service and out of botocore."""

from __future__ import annotations

import pkgutil
import sys
import time
from importlib import import_module
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import botocore.endpoint
from botocore.client import ClientCreator
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.useragent import UserAgentString

import imdsv2
from tests.proof.faults import fleet
from tests.world.serial import SerialPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from botocore.model import ServiceModel


def hold(patch: pytest.MonkeyPatch) -> None:
    """Replace every thread pool of the service, and each of its ways to wait, by the clock of the present world."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DATA_PATH", "AWS_DEFAULT_REGION"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    still = SimpleNamespace(**{name: getattr(time, name) for name in ("time", "monotonic")}, sleep=fleet.sleep)
    patch.setattr(botocore.endpoint, "time", still)
    _make_methods_once(patch)
    _name_once(patch)
    for module in _modules():
        if hasattr(module, "ThreadPoolExecutor"):
            patch.setattr(module, "ThreadPoolExecutor", SerialPool)
        if getattr(module, "time", None) is time:
            patch.setattr(module, "time", still)
        for function in _functions(module):
            if time.sleep in (function.__defaults__ or ()):
                defaults = tuple(fleet.sleep if each is time.sleep else each for each in function.__defaults__ or ())
                patch.setattr(function, "__defaults__", defaults)
            named = function.__kwdefaults__ or {}
            if time.sleep in named.values():
                kept = {name: fleet.sleep if each is time.sleep else each for name, each in named.items()}
                patch.setattr(function, "__kwdefaults__", kept)


def _make_methods_once(patch: pytest.MonkeyPatch) -> None:
    """Let clients of one service share its model and their methods, which depend on it alone: each run makes a client for each role."""
    known: dict[tuple[str, ...], Any] = {}
    load, make = (vars(ClientCreator)[name] for name in ("_load_service_model", "_create_methods"))

    def model(self: Any, service: str, api_version: str | None = None) -> Any:
        key = service, str(api_version), *self._loader.search_paths
        if key not in known:
            known[key] = load(self, service, api_version)
        return known[key]

    def methods(self: Any, model: ServiceModel) -> dict[str, Any]:
        key = model.service_name, *model.operation_names
        if key not in known:
            known[key] = make(self, model)
        return dict(known[key])

    patch.setattr(ClientCreator, "_load_service_model", model)
    patch.setattr(ClientCreator, "_create_methods", methods)


def _name_once(patch: pytest.MonkeyPatch) -> None:
    """Let clients share the names of botocore's events, and bear a fixed name themselves: each computes both anew."""
    patch.setattr(EventAliaser, "_alias_event_name", _alias(EventAliaser(HierarchicalEmitter())))
    patch.setattr(UserAgentString, "to_string", lambda _: "proof")


def _alias(names: EventAliaser) -> Any:
    known: dict[str, str] = {}
    plain = vars(EventAliaser)["_alias_event_name"]

    def alias(_: Any, name: str) -> str:
        if name not in known:
            known[name] = plain(names, name)
        return known[name]

    return alias


def _modules() -> Iterator[Any]:
    for each in pkgutil.walk_packages(imdsv2.__path__, "imdsv2."):
        import_module(each.name)
    yield from (module for name, module in sorted(sys.modules.items()) if name.startswith("imdsv2."))


def _functions(module: Any) -> Iterator[FunctionType]:
    for value in vars(module).values():
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type):
            yield from (each for each in vars(value).values() if isinstance(each, FunctionType))
