"""Which software it is: by the user agents of calls, by an inventory; and texts of others, which harm nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from imdsv2.culprit.deliveries import Delivery, callers_of
from imdsv2.culprit.known import AGENTS, SDKS, Known, fits, suspects_in
from imdsv2.culprit.plain import plain, without_secrets

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
EVERYTHING = (*SDKS, *AGENTS)


def delivery(agent: str, *, hours: int = 0, call: str = "s3:ListBuckets") -> Delivery:
    """A call so many hours ago."""
    return Delivery(at=NOW - timedelta(hours=hours), user_agent=agent, call=call)


@pytest.mark.parametrize(
    ("agent", "name", "version", "says"),
    [
        ("aws-cli/1.16.100 Python/2.7.16 Linux/4.14 botocore/1.12.90", "aws-cli", "1.16.100", "too old"),
        ("Boto3/1.9.57 Python/2.7.16 Linux/4.14 Botocore/1.12.57", "Boto3", "1.9.57", "too old"),
        ("Boto3/1.34.11 md/Botocore#1.34.11 ua/2.0", "Boto3", "1.34.11", "hop limit 1"),
        ("Botocore/1.13.24 Python/3.7", "Botocore", "1.13.24", "too old"),
        ("Botocore/1.13.25 Python/3.7", "Botocore", "1.13.25", "hop limit 1"),
        ("aws-sdk-go/1.25.37 (go1.13.4; linux; amd64)", "aws-sdk-go", "1.25.37", "too old"),
        ("Terraform/0.12 aws-sdk-go/1.44.1 (go1.18)", "aws-sdk-go", "1.44.1", "hop limit 1"),
        ("aws-sdk-nodejs/2.600.0 linux/v8.10.0 promise", "aws-sdk-nodejs", "2.600.0", "too old"),
        ("aws-sdk-ruby3/3.78.0 ruby/2.3.7", "aws-sdk-ruby3", "3.78.0", "too old"),
        ("our-own-tool/4.2 (built by hand)", "our-own-tool", "4.2", "update it"),
        ("curl", "", "", "does not name itself"),
        ("", "", "", "does not name itself"),
    ],
)
def test_a_user_agent_names_the_software(agent: str, name: str, version: str, says: str) -> None:
    """By the outer product, with what is known of it; a new one has fallen back."""
    [caller] = callers_of([delivery(agent)])
    assert (name, version) == (caller.name, caller.version)
    assert says in caller.says


def test_callers_are_counted_and_the_most_frequent_comes_first() -> None:
    """With the newest call as an example."""
    several = [delivery("a/1", hours=hours) for hours in range(3)]
    one = delivery("b/2", hours=5, call="ec2:DescribeTags")
    newer = delivery("a/1", call="sts:GetCallerIdentity")
    first, second = callers_of([one, *several[1:], newer])
    assert (3, NOW, "sts:GetCallerIdentity") == (first.calls, first.last, first.example)
    assert (1, "ec2:DescribeTags") == (second.calls, second.example)


def test_so_many_callers_are_named_and_no_more() -> None:
    """Whoever can make calls can make up user agents."""
    assert 20 == len(callers_of(delivery(f"agent-{number}/1.0") for number in range(500)))


@pytest.mark.parametrize("known", EVERYTHING, ids=lambda each: each.name)
def test_everything_known_has_a_public_source_and_can_be_found(known: Known) -> None:
    """By a user agent or a package, in lower case."""
    assert re.fullmatch(r"https://[a-z.]+/\S+", known.source)
    assert known.agents or known.packages
    assert all(each == each.lower() for each in (*known.agents, *known.packages))
    assert known.source in known.remedy


def test_no_package_stands_for_two_things() -> None:
    """Nor does a user agent."""
    for names in ([name for each in EVERYTHING for name in each.packages], [n for each in SDKS for n in each.agents]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("amazon-ssm-agent", "3.0.161.0-1.el7", "the SSM Agent"),
        ("amazon-ssm-agent", "3.0.431.0", None),
        ("Amazon SSM Agent", "2.3.1569.0", "the SSM Agent"),
        ("datadog-agent", "1:7.63.3-1", "the Datadog Agent"),
        ("datadog-agent", "1:7.64.0-1", None),
        ("Datadog Agent", "7.9.0", "the Datadog Agent"),
        ("awslogs", "1.1.4", "the CloudWatch Logs agent"),
        ("Cloudbase-Init 1.1.4", "1.1.4.0", "Cloudbase-Init"),
        ("awscli", "1.16.288", "the AWS CLI"),
        ("awscli", "not a version", None),
        ("awscli", "", None),
        ("openssl", "1.0.2k", None),
        ("AMAZON-SSM-AGENT" * 500, "1", None),
    ],
)
def test_an_inventory_names_what_is_too_old(name: str, version: str, found: str | None) -> None:
    """By the version before the package's own release; what cannot be read is no suspect."""
    assert ([found] if found else []) == [each.known.name for each in suspects_in([(name, version)])]


def test_versions_are_compared_as_numbers() -> None:
    """1.9 is older than 1.12."""
    boto3 = next(each for each in SDKS if each.name == "Boto3")
    assert [True, True, False, False] == [fits(each, boto3) for each in ("1.9.200", "1.12.5", "1.12.6", "1.100")]


HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[0m \u202egnp\u202c \x9b2J\u200b\ud800 a\r\nb\tc"


def test_hostile_texts_become_one_plain_line() -> None:
    """Terminal escapes, controls, what hides or turns text, and halves of characters."""
    assert "red gnp 2J a b c" == plain(HOSTILE, 100)
    assert plain(HOSTILE, 100).encode()
    [caller] = callers_of([delivery(HOSTILE, call=HOSTILE)])
    assert caller.user_agent.isprintable()
    assert caller.example.isprintable()


def test_long_texts_are_cut() -> None:
    """Also where cleaning takes most of them away."""
    assert "aaaaaaa..." == plain("a" * 10_000_000, 10)
    assert "" == plain("\x00" * 10_000_000, 10)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            "curl -H X-aws-ec2-metadata-token: AQAEAFEOMInKb== http://x/",
            "curl -H X-aws-ec2-metadata-token: (kept back) http://x/",
        ),
        ("mysql --password=hunter2 -u root", "mysql --password=(kept back) -u root"),
        ("mysql --password hunter2", "mysql --password (kept back)"),
        ("env DB_PASSWORD=hunter2 run", "env DB_PASSWORD=(kept back) run"),
        ("curl https://bob:hunter2@example.com/a", "curl https://(kept back)@example.com/a"),
        ("tool AKIAIOSFODNN7EXAMPLE", "tool (kept back)"),
        ("curl -H 'Authorization: Bearer abc.def' http://y/", "curl -H 'Authorization: (kept back)' http://y/"),
        (
            "curl -X PUT http://169.254.169.254/latest/api/token -H a",
            "curl -X PUT http://169.254.169.254/latest/api/token -H a",
        ),
        ("/usr/bin/python3 /opt/collector.py --once", "/usr/bin/python3 /opt/collector.py --once"),
    ],
)
def test_secrets_on_command_lines_are_kept_back(line: str, shown: str) -> None:
    """What says of itself that it is one; the program and its other options stay."""
    assert shown == without_secrets(line)
