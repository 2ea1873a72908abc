"""The user data of the instances: calls to the metadata service at known times, a report on the console, and the end."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imdsv2.selftest.seen import Call

if TYPE_CHECKING:
    from imdsv2.selftest.agenda import Agenda

MARK = "imdsv2-selftest"
"""The first word of each line that an instance writes to its console."""

_REPORTED = re.compile(rf"{MARK} (?P<kind>boot|v1|v2) (?P<second>\d+(?:\.\d+)?) (?P<status>\d{{3}})\b", re.ASCII)

_SCRIPT = """\
#!/bin/bash
# Self-test, instance "{role}": calls the metadata service at known times and reports on the console.
# It ends by itself: shutting down terminates it.
IMDS=${{IMDS:-http://169.254.169.254}}
CONSOLE=${{CONSOLE:-/dev/console}}
CLOCK=${{CLOCK:-date +%s}}
left=$(( ({ends_at} - $(date +%s) + 59) / 60 ))
shutdown -h +$(( left > 0 ? left : 0 ))
# User data runs at the first boot only. After a reboot or a start, this copy goes on with the calls that are left.
cp "$0" /var/lib/cloud/scripts/per-boot/{mark}.sh 2>/dev/null
say() {{ echo "{mark} $1 $(date +%s.%3N) $2" >> "$CONSOLE"; }}
say boot 000
v1() {{ say v1 "$(curl -s -o /dev/null -m 2 -w '%{{http_code}}' "$IMDS/latest/meta-data/instance-id")"; }}
v2() {{
  token=$(curl -s -f -m 2 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$IMDS/latest/api/token")
  say v2 "$(curl -s -o /dev/null -m 2 -w '%{{http_code}}' -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/instance-id")"
}}
at() {{
  [ "$($CLOCK)" -gt "$1" ] && return
  while [ "$($CLOCK)" -lt "$1" ]; do sleep 0.2; done
  $2
}}
{calls}
"""


def user_data(agenda: Agenda, role: str) -> str:
    """The script of one instance. Its times are absolute, so that it keeps them after a restart."""
    calls = [f"at {round(agenda.time_of(minute).timestamp())} {kind}" for minute, kind in agenda.calls(role)]
    ends_at = round(agenda.time_of(agenda.life_minutes).timestamp())
    return _SCRIPT.format(role=role, mark=MARK, ends_at=ends_at, calls="\n".join(calls))


def reported_calls(role: str, console: str) -> tuple[Call, ...]:
    """The calls that an instance reported on its console, and its boots."""
    found = (each.groupdict() for each in _REPORTED.finditer(console))
    return tuple(
        Call(
            role=role,
            at=datetime.fromtimestamp(float(each["second"]), UTC),
            kind=each["kind"],
            status=int(each["status"]),
        )
        for each in found
    )
