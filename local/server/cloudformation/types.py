"""CloudFormation features that ministack lacks: a resource type, alarms on metric math, and pseudo parameters in conditions."""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

from typing import Any, TypeAlias

from local.server import platform as ms

Properties: TypeAlias = dict[str, Any]
Created: TypeAlias = tuple[str, Properties]


def install() -> None:
    """Register the additions with ministack."""
    ms.STACK_TYPES["AWS::Events::EventBusPolicy"] = {
        "create": _create_bus_policy,
        "update": _update_bus_policy,
        "delete": _delete_bus_policy,
    }
    _accept_metric_math()
    _tell_conditions_where_they_are()


def _tell_conditions_where_they_are() -> None:
    """Let conditions refer to the account and Region that the stack is deployed in."""
    evaluate = ms.cloudformation_stacks._evaluate_conditions

    def evaluate_here(template: Properties, parameters: Properties) -> dict[str, bool]:
        place = {"AWS::AccountId": ms.account_id(), "AWS::Region": ms.region(), "AWS::Partition": "aws"}
        known: dict[str, bool] = evaluate(
            template, {**parameters, **{name: {"Value": value} for name, value in place.items()}}
        )
        return known

    for module in (ms.cloudformation_handlers, ms.cloudformation_stacks):
        module._evaluate_conditions = evaluate_here


def _accept_metric_math() -> None:
    """Create and describe alarms on expressions, which ministack refuses; `cloudwatch/alarms.py` evaluates them."""
    record = ms.provisioners._cw_metric_alarm_record

    def record_any(name: str, properties: Properties) -> Properties:
        if "Metrics" not in properties:
            single: Properties = record(name, properties)
            return single
        simple = {key: value for key, value in properties.items() if key != "Metrics"}
        alarm: Properties = record(name, {**simple, "MetricName": "expression", "Namespace": "expression"})
        return {**alarm, "MetricName": "", "Namespace": "", "Metrics": properties["Metrics"]}

    ms.provisioners._cw_metric_alarm_record = record_any


def _create_bus_policy(_logical_id: str, properties: Properties, _stack: str) -> Created:
    bus, statement = properties.get("EventBusName", "default"), _statement(properties)
    policy = ms.BUS_POLICIES.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
    policy["Statement"] = [*_others(policy, statement["Sid"]), statement]
    return f"{bus}|{statement['Sid']}", {}


def _update_bus_policy(
    _physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str = ""
) -> Created:
    _delete_bus_policy("", old)
    return _create_bus_policy(logical_id, new, stack)


def _delete_bus_policy(_physical_id: str, properties: Properties) -> None:
    policy = ms.BUS_POLICIES.get(properties.get("EventBusName", "default"))
    if policy:
        policy["Statement"] = _others(policy, properties["StatementId"])


def _statement(properties: Properties) -> Properties:
    """The policy statement, from either `Statement` or the older separate properties."""
    if "Statement" in properties:
        return {**properties["Statement"], "Sid": properties["StatementId"]}
    principal = properties["Principal"]
    return {
        "Sid": properties["StatementId"],
        "Effect": "Allow",
        "Principal": principal if principal == "*" else {"AWS": principal},
        "Action": properties["Action"],
        "Resource": "*",
    }


def _others(policy: Properties, sid: str) -> list[Properties]:
    return [statement for statement in policy["Statement"] if statement.get("Sid") != sid]
