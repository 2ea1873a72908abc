"""Software that runs on instances: real clients of the metadata service, each in its own process.

All of them request the instance's credentials and return whether they got them (`ok`), or were refused or got no
answer (`denied`). Any other failure fails the test. The endpoint determines where they run:

    endpoint = cloud.imds(instance, account=MEMBERS[0], region=HOME, hops=1)
    assert "denied" == workloads.sdk(endpoint)
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

Outcome: TypeAlias = Literal["ok", "denied"]
Client: TypeAlias = "Callable[[str], Outcome]"

PATIENCE_SECONDS = 2
"""How long each of them waits for an answer. SDKs wait one second, which may be too short on a busy machine."""

# curl's exit codes: an error status (-f), no answer in time, an empty answer.
CURL_DENIED = {22, 28, 52}

CURL = """
ask() { curl --silent --show-error --fail --max-time "$PATIENCE" "$@"; }
role=$(ask "$IMDS/latest/meta-data/iam/security-credentials/") || exit
ask "$IMDS/latest/meta-data/iam/security-credentials/$role"
"""

CURL_WITH_TOKEN = """
ask() { curl --silent --show-error --fail --max-time "$PATIENCE" "$@"; }
token=$(ask -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$IMDS/latest/api/token") || exit
role=$(ask -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/") || exit
ask -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/iam/security-credentials/$role"
"""

SDK = """
import botocore.session

credentials = botocore.session.Session().get_credentials()
print(f'"AccessKeyId" : "{credentials.access_key}"' if credentials else "denied")
"""

# boto 2 never supported tokens. Python 3.12 has removed what its copy of six and one of its imports need.
OLD_SDK = """
import importlib, os, sys, types
import six

sys.modules["imp"] = types.ModuleType("imp")
sys.modules["boto.vendored.six"] = six
for name in ("", ".queue", ".urllib", ".urllib.parse", ".urllib.request"):
    sys.modules["boto.vendored.six.moves" + name] = importlib.import_module("six.moves" + name)

from boto.utils import get_instance_metadata

path, patience = "meta-data/iam/security-credentials/", float(os.environ["PATIENCE"])
roles = get_instance_metadata(url=os.environ["IMDS"], data=path, timeout=patience, num_retries=1)
print([each for each in roles.values() if each] or "denied")
"""


def curl(endpoint: str) -> Outcome:
    """A shell script without tokens."""
    return _shell(CURL, endpoint)


def curl_with_token(endpoint: str) -> Outcome:
    """A shell script that fetches a token first."""
    return _shell(CURL_WITH_TOKEN, endpoint)


def sdk(endpoint: str) -> Outcome:
    """A current SDK: requests a token, and falls back to IMDSv1 if no answer arrives in time."""
    return _python(SDK, endpoint)


def old_sdk(endpoint: str) -> Outcome:
    """An SDK that predates tokens."""
    return _python(OLD_SDK, endpoint)


@dataclass(frozen=True, kw_only=True)
class BootScript:
    """Requests credentials once at every start of the instance."""

    endpoint: str
    client: Client = curl

    def starts(self) -> Outcome:
        """The instance has started."""
        return self.client(self.endpoint)


@dataclass(frozen=True, kw_only=True)
class MonthlyJob:
    """Requests credentials on one day of the month."""

    endpoint: str
    day: int = 1
    client: Client = curl

    def lives_through(self, today: date) -> Outcome | None:
        """A day passes; None if it is not the job's day."""
        return self.client(self.endpoint) if today.day == self.day else None


def _shell(script: str, endpoint: str) -> Outcome:
    ended = _run(["/bin/sh", "-c", script], endpoint)
    return "denied" if ended.returncode in CURL_DENIED else _judged(ended)


def _python(script: str, endpoint: str) -> Outcome:
    ended = _run([sys.executable, "-W", "ignore", "-c", script], endpoint)
    return "denied" if ended.stdout == "denied\n" else _judged(ended)


def _judged(ended: subprocess.CompletedProcess[str]) -> Outcome:
    assert ended.returncode == 0 and "AccessKeyId" in ended.stdout, f"{ended.stdout}{ended.stderr}"  # noqa: PT018 - one fact
    return "ok"


def _run(command: list[str], endpoint: str) -> subprocess.CompletedProcess[str]:
    patience = str(PATIENCE_SECONDS)
    environment = {
        # No source but the metadata service may provide credentials.
        "PATH": os.environ["PATH"],
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "BOTO_CONFIG": os.devnull,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": endpoint,
        "AWS_METADATA_SERVICE_TIMEOUT": patience,
        "IMDS": endpoint,
        "PATIENCE": patience,
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
