"""All checks, how one is run, and what has to be asked at least once."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING, Any

import tests.world
from tests.world.conformance import changes, cloudwatch, dynamodb, ec2, edge, security_hub
from tests.world.conformance.clouds import InMemory
from tests.world.conformance.deviations import STRICTER
from tests.world.conformance.recorded import operations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.world.conformance.clouds import Cloud

CHECKS: dict[str, Callable[[Cloud], Any]] = {
    f"{module.__name__.rpartition('.')[2]} {name.replace('_', ' ')}": check
    for module in (changes, cloudwatch, dynamodb, ec2, edge, security_hub)
    for name, check in vars(module).items()
    if inspect.isfunction(check) and check.__module__ == module.__name__ and not name.startswith("_")
}
"""Every public function of the modules of checks, by module and name."""

SERVICES = ("cloudwatch", "dynamodb", "ec2", "securityhub", "sns", "ssm")


def answer(name: str, cloud: Cloud) -> Any:
    """What a cloud answers to a check; never nothing at all, so that two that say nothing do not agree."""
    told = cloud.neutral(CHECKS[name](cloud))
    assert told, "the check has asked nothing"
    return told


def unasked() -> set[str]:
    """Operations of the world's fakes that no check asks, as `service operation`."""
    offered = {f"{service} {name}" for service, name in _offered()}
    for check in CHECKS.keys() - STRICTER.keys():
        world = InMemory()
        answer(check, world)
        for service, recorded in world.recorded.items():
            offered -= {f"{service} {name}" for name in recorded.asked}
    return offered


def _offered() -> Iterator[tuple[str, str]]:
    """Service and method of every operation that a class of tests.world answers."""
    for module in pkgutil.iter_modules(tests.world.__path__, "tests.world."):
        if module.ispkg:
            continue
        loaded = importlib.import_module(module.name)
        for _, fake in inspect.getmembers(loaded, inspect.isclass):
            if fake.__module__ == loaded.__name__:
                names = {name for name in vars(fake) if not name.startswith("_")}
                yield from ((service, name) for service in SERVICES for name in names & operations(service).keys())
