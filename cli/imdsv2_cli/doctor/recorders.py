"""Whether Config records EC2 instances where there are any, here and in the accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import invoke
from imdsv2_cli.doctor.finding import Finding, fault, unproved, well

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from imdsv2_cli.base import App

_CHECK = "Config"
_LOST = "neither Config's events nor Security Hub's EC2.8 come from there; the nightly sweep does"


def at_home(app: App) -> Iterator[Finding]:
    """Config in the account and Region of the stack, asked with the caller's rights. There need not be any instance."""
    from imdsv2.people.recorders import recorders_of

    yield _judged(app.account, app.home, recorders_of(app.client("config")), finding=unproved)


def in_accounts(app: App, instances: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Config in every other account and Region with instances, asked by the service through the read roles."""
    from imdsv2.people.recorders import PLACES, PLACES_A_CALL

    home = (app.account, app.home)
    places = sorted({(each["target"].split(":")[4], each["target"].split(":")[3]) for each in instances} - {home})
    for start in range(0, len(places), PLACES_A_CALL):
        asked = [{"account": account, "region": region} for account, region in places[start : start + PLACES_A_CALL]]
        for each in invoke(app, f"{app.prefix}-check", {PLACES: asked})["results"]:
            if each["problem"]:
                found = f"It could not be asked in account {each['account']}, {each['region']}: {each['problem']}"
                yield unproved(_CHECK, found, "deploy the member templates there again (docs/upgrade.md)")
            else:
                yield _judged(each["account"], each["region"], each["recorders"], finding=fault)


def _judged(
    account: str, region: str, recorders: Iterable[Mapping[str, Any]], *, finding: Callable[[str, str, str], Finding]
) -> Finding:
    """What is wrong in an account and Region, as the kind of finding that this is there."""
    where, by = f"account {account}, {region}", f"as account {account}: aws configservice"
    told = [each for each in recorders if each["instances"]]
    if any(each["recording"] for each in told):
        return well(_CHECK, f"It records EC2 instances in {where}.")
    if told:
        mend = f"{by} start-configuration-recorder --region {region} --configuration-recorder-name {told[0]['name']}"
        return finding(_CHECK, f"Its recorder is stopped in {where}: {_LOST}.", mend)
    known = next(iter(recorders), None)
    what = "does not record EC2 instances" if known else "is not set up"
    name = known["name"] if known else "default"
    role = known["role"] if known and known["role"] else _usual_role(account, region)
    mend = (
        f"{by} put-configuration-recorder --region {region} --configuration-recorder name={name},roleARN={role} "
        "--recording-group allSupported=true; then start-configuration-recorder"
    )
    return finding(_CHECK, f"It {what} in {where}: {_LOST}.", mend)


def _usual_role(account: str, region: str) -> str:
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    return f"arn:{partition}:iam::{account}:role/aws-service-role/config.amazonaws.com/AWSServiceRoleForConfig"
