"""Where the last sweep saw instances: the ledger knows only what was judged, and after dry sweeps nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2_cli.aws import DENIED, code_of
from imdsv2_cli.failure import Failure
from imdsv2_cli.fleet import file
from imdsv2_cli.output import note

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2_cli.base import App

_PLACES_A_CALL = 2_000
"""More are those of an organisation that has to name an account."""
_ONLY_KNOWN = "so only accounts and Regions are searched of which the ledger knows instances"


def swept_places(
    app: App, account: str | None = None, region: str | None = None, *, quiet: bool = False
) -> list[dict[str, str]]:
    """The accounts and Regions in which the last sweep saw instances, as far as the choice leaves them open, as the service takes them.
    Where nobody knows, or the caller may not read it, this is noted unless it is to be ``quiet``."""
    if account and region:
        return []
    places = _places(app, (lambda _: None) if quiet else note)
    fitting = [each for each in places if account in {None, each[0]} and region in {None, each[1]}]
    return [{"account": there, "region": its_region} for there, its_region in fitting[:_PLACES_A_CALL]]


def _places(app: App, say: Callable[[str], None]) -> list[tuple[str, str]]:
    from botocore.exceptions import ClientError

    try:
        places = file.places(app)
    except Failure as failure:
        say(f"The results of the last sweep cannot be read ({failure.message.rstrip('.')}), {_ONLY_KNOWN}.")
        return []
    except ClientError as error:
        if code_of(error) not in DENIED:
            raise
        say(f"The results of the last sweep cannot be read with these credentials, {_ONLY_KNOWN}.")
        return []
    if places is None:
        say(f"No sweep has ended yet, {_ONLY_KNOWN}: imdsv2 sweep")
    return places or []
