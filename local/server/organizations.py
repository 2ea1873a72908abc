"""The organisation of the local accounts. The security account manages it; the members are in the one unit under its root.

Accounts that are not named are outside of it. `aws:PrincipalOrgID` is known to every policy. Accounts are listed in pages, as AWS
does it, and bear a `State`: AWS has retired their `Status` in September 2026.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.server.platform import Record, Response

MANAGEMENT: Final = os.environ["MINISTACK_ACCOUNT_ID"]
HOME: Final = os.environ["MINISTACK_REGION"]
MEMBERS: Final = os.environ["LOCAL_MEMBERS"].split(",")
ORGANIZATION: Final = os.environ["LOCAL_ORGANIZATION"]
UNIT: Final = os.environ["LOCAL_UNIT"]
LARGEST_PAGE: Final = 20
ROOT: Final = f"r-{UNIT.split('-')[1]}"


def install() -> None:
    """Found the organisation."""
    organizations = ms.organizations
    with ms.acting_in(MANAGEMENT, HOME):
        # As ministack makes it for whoever asks first, but with ids that settings can name.
        organizations._ensure_org()
        organizations._roots.clear()
        arn = f"arn:aws:organizations::{MANAGEMENT}"
        organizations._orgs["self"] |= {"Id": ORGANIZATION, "Arn": f"{arn}:organization/{ORGANIZATION}"}
        organizations._roots[ROOT] = {
            "Id": ROOT,
            "Arn": f"{arn}:root/{ORGANIZATION}/{ROOT}",
            "Name": "Root",
            "PolicyTypes": [],
        }
        organizations._ous[UNIT] = {
            "Id": UNIT,
            "Arn": f"{arn}:ou/{ORGANIZATION}/{UNIT}",
            "Name": "Workloads",
            "_ParentId": ROOT,
        }
        manager = organizations._accounts[MANAGEMENT]
        for account, parent in [(MANAGEMENT, ROOT), *((member, UNIT) for member in MEMBERS)]:
            organizations._accounts[account] = {
                **manager,
                "Id": account,
                "Arn": f"{arn}:account/{ORGANIZATION}/{account}",
                "Name": f"local {account}",
                "_ParentId": parent,
            }
    for operation in ("ListAccounts", "ListAccountsForParent"):
        organizations._DISPATCH[operation] = _in_pages(organizations._DISPATCH[operation])
    ms.iam_evaluator._principal_org_id = lambda account: ORGANIZATION if account in {MANAGEMENT, *MEMBERS} else None


def _in_pages(list_all: Callable[[Record], Response]) -> Callable[[Record], Response]:
    def list_page(asked: Record) -> Response:
        start, most = int(asked.get("NextToken", 0)), asked.get("MaxResults", LARGEST_PAGE)
        status, headers, body = list_all(asked)
        accounts = [_with_state(each) for each in json.loads(body)["Accounts"]]
        more = {"NextToken": str(start + most)} if start + most < len(accounts) else {}
        return status, headers, json.dumps({"Accounts": accounts[start : start + most], **more}).encode()

    return list_page


def _with_state(account: Record) -> Record:
    return {("State" if name == "Status" else name): value for name, value in account.items()}


def accounts_in(units: Iterable[str]) -> list[str]:
    """The accounts under these units or roots, as they are now; the management account is never among them."""
    with ms.acting_in(MANAGEMENT, HOME):
        wanted = set(units)
        return [
            account["Id"]
            for account in ms.organizations._accounts.values()
            if account["Id"] != MANAGEMENT and wanted & set(_above(account["_ParentId"]))
        ]


def _above(unit: str) -> list[str]:
    parent = ms.organizations._ous.get(unit, {}).get("_ParentId")
    return [unit, *(_above(parent) if parent else [])]
