"""Finding aggregators of Security Hub: one an account, at first in the home Region; every Region is linked to it.

Only what they are listed as follows them: the local AWS goes on to copy findings to the home Region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms
from local.server.securityhub import hubs

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = dict[str, Any]

_region_of: dict[str, str | None] = {}


def list_aggregators(_request: Json) -> Json:
    """The aggregator of the account; its ARN names the Region that it aggregates in."""
    hubs.enabled_hub()
    region = _region_of.get(ms.account_id(), hubs.HOME)
    return {"FindingAggregators": [] if region is None else [{"FindingAggregatorArn": _arn(region)}]}


def list_aggregators_v2(_request: Json) -> Json:
    """The newer hub's aggregator, which here is in the same Region."""
    found = list_aggregators({})["FindingAggregators"]
    return {"AggregatorsV2": [{"AggregatorV2Arn": _arn_v2(each["FindingAggregatorArn"])} for each in found]}


def create(_request: Json) -> Json:
    """Aggregate in the Region of the request."""
    hubs.enabled_hub()
    _region_of[ms.account_id()] = ms.region()
    return {"FindingAggregatorArn": _arn(ms.region()), "FindingAggregationRegion": ms.region()}


def delete(_request: Json) -> Json:
    """Aggregate nowhere."""
    hubs.enabled_hub()
    _region_of[ms.account_id()] = None
    return {}


def _arn(region: str) -> str:
    return f"arn:aws:securityhub:{region}:{ms.account_id()}:finding-aggregator/local"


def _arn_v2(arn: str) -> str:
    return arn.replace(":finding-aggregator/", ":aggregatorv2/")


ACTIONS: Final[dict[str | None, Callable[[Json], Json]]] = {
    "ListFindingAggregators": list_aggregators,
    "ListAggregatorsV2": list_aggregators_v2,
    "CreateFindingAggregator": create,
    "DeleteFindingAggregator": delete,
}
