"""`imdsv2 exempt`: sets the tag that exempts instances, with the caller's own rights in their account."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli import times
from imdsv2_cli.aws import session_of
from imdsv2_cli.base import App, Command
from imdsv2_cli.confirm import confirm, dry_run_option, yes_option
from imdsv2_cli.failure import Exit, Failure, usage
from imdsv2_cli.naming import account_option, instances_argument, region_option, resolve
from imdsv2_cli.output import Column, Table, note, show
from imdsv2_cli.policies import in_force, read_parameter
from imdsv2_cli.verdicts import parts_of
from imdsv2_cli.wording import count, of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

_ROWS = (
    Column("account", spare=1),
    Column("region", spare=2),
    Column("instance"),
    Column("tag", spare=3),
    Column("value"),
    Column("done"),
    Column("problem"),
)
_TAGGED_AT_ONCE = 500


@click.command(cls=Command)
@instances_argument()
@account_option
@region_option
@click.option("--until", metavar="DAY", help="The last day: YYYY-MM-DD, or e.g. 30d.")
@click.option("--end", is_flag=True, help="Remove the tag: the exemption ends.")
@click.option(
    "--account-role",
    metavar="NAME",
    envvar="IMDSV2_ACCOUNT_ROLE",
    help="Role in the instances' account that you may assume.",
)
@click.option("--account-profile", metavar="NAME", help="Profile with rights in the instances' account.")
@yes_option
@dry_run_option
@click.pass_obj
def exempt(
    app: App,
    instances: tuple[str, ...],
    account: str | None,
    in_region: str | None,
    until: str | None,
    end: bool,
    account_role: str | None,
    account_profile: str | None,
    yes: bool,
    dry_run: bool,
) -> Exit:
    """Exempts instances until a day, by the tag that the policy names.

    The service's roles may not write this tag: that is for the owners of the instances. So it is written with your own rights in
    their account: a role there that you may assume, another profile, or the credentials that you use if it is the same account. Without
    such rights, use imdsv2 hold. The service reads the tag when it judges next.
    """
    if bool(until) == end:
        raise usage(
            "the exemption has no end" if not end else "both --until and --end were given",
            todo="say --until DAY, or --end",
        )
    policy = in_force(read_parameter(app))
    key, last = str(policy["exempt_tag"]), times.day(until, "--until") if until else None
    value = last.isoformat() if last else None
    if last is not None:
        _note_longest(last, int(policy["max_exemption_days"]))
    targets = resolve(app, instances, account, in_region)
    rows = [
        {**parts_of(arn), "target": arn, "tag": key, "value": value, "done": False, "problem": None} for arn in targets
    ]
    clients = {}
    for (number, region), those in _by_place(rows):
        clients[number, region] = ec2 = _ec2(app, number, region, account_role, account_profile)
        problem = _dry(ec2, [each["instance"] for each in those], key, value)
        for each in those:
            each["problem"] = problem
    ready = [each for each in rows if each["problem"] is None]
    if ready and not dry_run:
        note("\n".join(f"{each['target']}: {key}{f'={value}' if value else ' is removed'}" for each in ready))
        confirm(
            f"{f'Set {key}={value}' if value else f'Remove {key}'} on {of(len(ready), len(rows), 'instance')}", yes=yes
        )
        for (number, region), those in _by_place(ready):
            try:
                _tag(clients[number, region], [each["instance"] for each in those], key, value)
            except BaseException:  # Ctrl-C is one.
                if done := sum(bool(each["done"]) for each in rows):
                    note(f"Until then, {count(done, 'instance')} had been changed; ask again for the rest.")
                raise
            for each in those:
                each["done"] = True
    said = (
        "Nothing was changed."
        if dry_run or not ready
        else "The service reads the tag when it judges next: imdsv2 assess."
    )
    show(app, {"results": rows}, Table(_ROWS, rows), summary=said)
    return Exit.FAILED if len(ready) < len(rows) else Exit.DONE


def _note_longest(last: date, days: int) -> None:
    """Say so where the policy ends the exemption before its tag does."""
    longest = times.now().date() + timedelta(days=days)
    if last > longest:
        note(
            f"The policy allows {count(days, 'day')} at a time (max_exemption_days): they are exempt until {longest}, and people are told of it."
        )


def _by_place(rows: Iterable[dict[str, Any]]) -> Iterable[tuple[tuple[str, str], list[dict[str, Any]]]]:
    def place(row: dict[str, Any]) -> tuple[str, str]:
        return row["account"], row["region"]

    return [(there, list(those)) for there, those in groupby(sorted(rows, key=place), key=place)]


def _ec2(app: App, account: str, region: str, role: str | None, profile: str | None) -> Any:
    """EC2 in an account, with the caller's own rights. Raises Failure where none were named."""
    if profile is not None:
        # A profile need not name a Region.
        session = session_of(profile, region)
        if (found := session.create_client("sts").get_caller_identity()["Account"]) != account:
            raise usage(
                f"the profile {profile} is of account {found}",
                f"the instances are in {account}",
                "name a profile of that account",
            )
        return session.create_client("ec2")
    if account == app.account:
        return app.client("ec2", region)
    if role is None:
        raise usage(
            f"the instances are in account {account}",
            f"your credentials are of {app.account}",
            "name a role there with --account-role, a profile with --account-profile, or use imdsv2 hold",
        )
    partition = app.caller.split(":")[1]
    granted = app.client("sts").assume_role(
        RoleArn=f"arn:{partition}:iam::{account}:role/{role}", RoleSessionName="imdsv2-exempt"
    )["Credentials"]
    keys = {"aws_access_key_id": granted["AccessKeyId"], "aws_secret_access_key": granted["SecretAccessKey"]}
    return app.session.create_client("ec2", region_name=region, aws_session_token=granted["SessionToken"], **keys)


def _dry(ec2: Any, ids: Sequence[str], key: str, value: str | None) -> str | None:
    """Why EC2 would refuse the tag, by its own dry run; None if it would not."""
    from botocore.exceptions import ClientError

    try:
        _tag(ec2, ids, key, value, DryRun=True)
    except ClientError as error:
        if error.response["Error"]["Code"] == "DryRunOperation":
            return None
        return f"EC2 refuses it: {error.response['Error'].get('Message') or error.response['Error']['Code']}"
    raise Failure("the tag was not tried", "EC2 carried the dry run out instead of answering it", "look at the tags")


def _tag(ec2: Any, ids: Sequence[str], key: str, value: str | None, **more: Any) -> None:
    for start in range(0, len(ids), _TAGGED_AT_ONCE):
        some = list(ids[start : start + _TAGGED_AT_ONCE])
        if value is None:
            ec2.delete_tags(Resources=some, Tags=[{"Key": key}], **more)
        else:
            ec2.create_tags(Resources=some, Tags=[{"Key": key, "Value": value}], **more)
