"""The metadata service of each instance, judged by real clients, by AWS's documentation and by ministack's own."""

from __future__ import annotations

import http.client
import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.utils import InstanceMetadataRegionFetcher

from local.cloud.run import HOME, SECURITY, LocalCloud, LocalCloudError
from tests.e2e import workloads
from tests.local.launching import describe, launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client

PATIENCE_SECONDS = 20
TOKEN_PATH = "/latest/api/token"
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
LIFE = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
NEVER_APPLIED = {"local:applied-after": "3600"}
LONG_AGO = "2026-01-01T00:00:00+00:00"

CLIENTS = (workloads.curl, workloads.curl_with_token, workloads.sdk, workloads.old_sdk)


def ask(endpoint: str, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
    """One request: status and text."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def token(endpoint: str, life: int = 60) -> str:
    """A token of an instance."""
    status, text = ask(endpoint, TOKEN_PATH, method="PUT", **{LIFE: str(life)})
    assert 200 == status
    return text


def until(look: Callable[[], bool]) -> bool:
    """Whether something comes about in good time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if look():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def attach(cloud: LocalCloud, account: str) -> Callable[..., str]:
    """Attaches an endpoint to an instance of this test's account."""

    def attached(instance: str, hops: int = 0) -> str:
        return cloud.imds(instance, account=account, region=HOME, hops=hops)

    return attached


def points(cloudwatch: CloudWatchClient, instance: str, metric: str, period: int = 60) -> list[float]:
    """The sums that CloudWatch has of a metric in the last hours."""
    query: Any = {
        "Id": "m0",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/EC2",
                "MetricName": metric,
                "Dimensions": [{"Name": "InstanceId", "Value": instance}],
            },
            "Period": period,
            "Stat": "Sum",
        },
    }
    end = datetime.now(UTC) + timedelta(minutes=1)
    answer = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=end - timedelta(hours=2), EndTime=end)
    return answer["MetricDataResults"][0]["Values"]


@pytest.mark.parametrize(
    ("options", "hops", "outcomes"),
    [
        ({"HttpTokens": "optional"}, 0, ["ok", "ok", "ok", "ok"]),
        ({"HttpTokens": "optional"}, 1, ["ok", "denied", "ok", "ok"]),
        ({"HttpTokens": "required"}, 0, ["denied", "ok", "ok", "denied"]),
        ({"HttpTokens": "required"}, 1, ["denied", "denied", "denied", "denied"]),
        ({"HttpTokens": "required", "HttpPutResponseHopLimit": 2}, 1, ["denied", "ok", "ok", "denied"]),
        ({"HttpEndpoint": "disabled"}, 0, ["denied", "denied", "denied", "denied"]),
    ],
    ids=["optional", "optional, container", "required", "required, container", "required, two hops", "closed"],
)
def test_real_clients_get_their_credentials_or_break(
    ec2: EC2Client, attach: Callable[..., str], options: dict[str, Any], hops: int, outcomes: list[str]
) -> None:
    """curl without and with a token, today's SDK, and one from before there were tokens: as on an instance with such options."""
    endpoint = attach(launch(ec2, **options)[0], hops)
    assert outcomes == [client(endpoint) for client in CLIENTS]


@pytest.mark.parametrize("period", [60, 300, 3600])
def test_requests_without_a_token_are_counted(
    ec2: EC2Client, cloudwatch: CloudWatchClient, attach: Callable[..., str], period: int
) -> None:
    """Only those that were answered, to be seen at once; what had a token, or found nothing, does not count."""
    [instance] = launch(ec2)
    endpoint = attach(instance)
    statuses = [ask(endpoint, path)[0] for path in (ROLES_PATH, "/latest/meta-data/", "/latest/nothing")]
    ask(endpoint, ROLES_PATH, **{TOKEN: token(endpoint)})
    assert [200, 200, 404] == statuses
    assert 2.0 == sum(points(cloudwatch, instance, "MetadataNoToken", period))
    assert [] == points(cloudwatch, instance, "MetadataNoTokenRejected", period)


@pytest.mark.parametrize("period", [60, 300, 3600])
def test_refused_requests_are_counted_apart(
    ec2: EC2Client, cloudwatch: CloudWatchClient, attach: Callable[..., str], period: int
) -> None:
    """Where tokens are required, a request without one counts as rejected; one with a wrong token does not."""
    [instance] = launch(ec2, HttpTokens="required")
    endpoint = attach(instance)
    assert [] == points(cloudwatch, instance, "MetadataNoTokenRejected", period)
    statuses = [ask(endpoint, ROLES_PATH)[0], ask(endpoint, ROLES_PATH, **{TOKEN: "wrong"})[0]]
    assert [401, 401] == statuses
    assert 1.0 == sum(points(cloudwatch, instance, "MetadataNoTokenRejected", period))
    assert 0.0 == sum(points(cloudwatch, instance, "MetadataNoToken", period))


def test_stamps_can_be_moved(
    cloud: LocalCloud, ec2: EC2Client, cloudwatch: CloudWatchClient, account: str, attach: Callable[..., str]
) -> None:
    """Out of the hours that are asked for, of one metric in one account."""
    cloud.ask("PUT", "stamps", {"account": account, "metric": "MetadataNoTokenRejected", "seconds": -3 * 3600})
    [instance] = launch(ec2, HttpTokens="required")
    assert 401 == ask(attach(instance), ROLES_PATH)[0]
    assert [] == points(cloudwatch, instance, "MetadataNoTokenRejected")
    # A set, since a minute may end meanwhile.
    assert {0.0} == set(points(cloudwatch, instance, "MetadataNoToken"))


def test_a_running_instance_reports_zeros_and_that_it_lives(
    ec2: EC2Client, cloudwatch: CloudWatchClient, attach: Callable[..., str]
) -> None:
    """From the attaching on, or from its start; one that does not run reports nothing."""
    [running], [stopped] = launch(ec2), launch(ec2, tags={"local:stopped-at": LONG_AGO})
    metrics = ("MetadataNoToken", "CPUUtilization", "MetadataNoTokenRejected")
    for instance in (running, stopped):
        attach(instance)
    # Sets, since a minute may end meanwhile.
    assert [{0.0}, {1.0}, set()] == [set(points(cloudwatch, running, metric)) for metric in metrics]
    assert [set(), set(), set()] == [set(points(cloudwatch, stopped, metric)) for metric in metrics]
    ec2.start_instances(InstanceIds=[stopped])
    assert until(lambda: [{0.0}, {1.0}, set()] == [set(points(cloudwatch, stopped, metric)) for metric in metrics])


def test_metrics_are_those_of_the_instances_own_account_and_region(
    cloud: LocalCloud, account: str, ec2: EC2Client, cloudwatch: CloudWatchClient
) -> None:
    """What happens in another Region is not to be seen here."""
    abroad = cloud.session(account=account, region="us-east-1")
    [instance] = launch(abroad.client("ec2"))
    status, region = ask(
        cloud.imds(instance, account=account, region="us-east-1"), "/latest/meta-data/placement/region"
    )
    assert (200, "us-east-1") == (status, region)
    assert 1.0 == sum(points(abroad.client("cloudwatch"), instance, "MetadataNoToken"))
    assert [] == points(cloudwatch, instance, "MetadataNoToken")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("PUT", TOKEN_PATH, {LIFE: "1"}, 200),
        ("PUT", TOKEN_PATH, {LIFE: "21600"}, 200),
        ("PUT", TOKEN_PATH, {}, 400),
        ("PUT", TOKEN_PATH, {LIFE: "0"}, 400),
        ("PUT", TOKEN_PATH, {LIFE: "21601"}, 400),
        ("PUT", TOKEN_PATH, {LIFE: "soon"}, 400),
        ("PUT", TOKEN_PATH, {LIFE: "60", "X-Forwarded-For": "192.0.2.1"}, 403),
        ("PUT", "/2021-07-15/api/token", {LIFE: "60"}, 403),
        ("GET", ROLES_PATH, {TOKEN: "wrong"}, 401),
        ("GET", "/latest/meta-data/nothing", {}, 404),
        ("GET", "/2009-04-04/meta-data/instance-id", {}, 200),
        ("GET", TOKEN_PATH, {}, 405),
        ("POST", ROLES_PATH, {}, 405),
    ],
)
def test_statuses_are_the_documented_ones(
    ec2: EC2Client, attach: Callable[..., str], method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """400 for a bad PUT, 401 for a bad token, 403 for what is not allowed, 404 for what is not there."""
    endpoint = attach(launch(ec2)[0])
    assert status == ask(endpoint, path, method=method, **headers)[0]


@pytest.fixture(params=["optional", "required"])
def ministacks(request: pytest.FixtureRequest) -> Iterator[tuple[str, LocalCloud]]:
    """ministack's own metadata service, one for all instances, in both ways that it knows."""
    required = {"MINISTACK_IMDS_V2_REQUIRED": "1"} if request.param == "required" else {}
    with LocalCloud(environment=required) as cloud:
        yield request.param, cloud


def test_ministacks_own_service_gives_the_same_statuses(ministacks: tuple[str, LocalCloud]) -> None:
    """Wherever it has the rule; it does not know hops, proxies, a closed endpoint, or that a token's life has bounds."""
    tokens, cloud = ministacks
    session = cloud.session()
    ours = cloud.imds(launch(session.client("ec2"), HttpTokens=tokens)[0], account=SECURITY, region=HOME)

    def statuses(endpoint: str) -> list[int]:
        own = token(endpoint)
        asked: list[tuple[str, str, dict[str, str]]] = [
            ("PUT", TOKEN_PATH, {LIFE: "soon"}),
            ("GET", TOKEN_PATH, {}),
            ("GET", ROLES_PATH, {}),
            ("GET", ROLES_PATH, {TOKEN: own}),
            ("GET", ROLES_PATH, {TOKEN: "wrong"}),
            ("POST", ROLES_PATH, {TOKEN: own}),
            ("GET", "/latest/meta-data/instance-id", {TOKEN: own}),
            ("GET", "/latest/meta-data/placement/availability-zone/", {TOKEN: own}),
            ("GET", "/latest/dynamic/instance-identity/document", {TOKEN: own}),
            ("GET", "/latest/meta-data/nothing", {TOKEN: own}),
        ]
        return [ask(endpoint, path, method=method, **headers)[0] for method, path, headers in asked]

    assert statuses(cloud.endpoint) == statuses(ours)


def test_a_token_is_good_on_its_own_instance_only(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """Another instance refuses it, and its own takes it however many hops away."""
    mine, other = launch(ec2, count=2, HttpTokens="required")
    held = {TOKEN: token(attach(mine))}
    statuses = [ask(endpoint, ROLES_PATH, **held)[0] for endpoint in (attach(mine), attach(mine, 1), attach(other))]
    assert [200, 200, 401] == statuses


def test_a_token_expires(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """After the life that it was asked for, whatever becomes of the others."""
    endpoint = attach(launch(ec2)[0])
    short, long = token(endpoint, life=1), token(endpoint)
    assert until(lambda: ask(endpoint, ROLES_PATH, **{TOKEN: short})[0] == 401)
    assert 200 == ask(endpoint, ROLES_PATH, **{TOKEN: long})[0]


def test_a_change_is_obeyed_once_it_is_applied(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """As long as EC2 says pending, the instance goes on as before."""
    [soon], [never] = launch(ec2), launch(ec2, tags=NEVER_APPLIED)
    for instance in (soon, never):
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    assert until(lambda: ask(attach(soon), ROLES_PATH)[0] == 401)
    assert 200 == ask(attach(never), ROLES_PATH)[0]


def test_two_changes_while_pending_leave_what_was_before_both(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """The second does not bring the first into force."""
    [instance] = launch(ec2, tags=NEVER_APPLIED)
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=2)
    assert 200 == ask(attach(instance), ROLES_PATH)[0]


def test_software_at_boot_meets_what_was_changed_while_stopped(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """The boot script had its credentials before, and never again once tokens are required."""
    [instance] = launch(ec2)
    script = workloads.BootScript(endpoint=attach(instance))
    before = script.starts()
    ec2.stop_instances(InstanceIds=[instance])
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    ec2.start_instances(InstanceIds=[instance])
    assert ("ok", "denied") == (before, script.starts())


def test_a_monthly_job_asks_on_its_day_only(
    ec2: EC2Client, cloudwatch: CloudWatchClient, attach: Callable[..., str]
) -> None:
    """On all others the metric shows nothing of it."""
    [instance] = launch(ec2)
    job = workloads.MonthlyJob(endpoint=attach(instance), day=2)
    assert [None, "ok", None] == [job.lives_through(date(2026, 3, day)) for day in (1, 2, 3)]
    # The list of roles, and the credentials of the one in it.
    assert 2.0 == sum(points(cloudwatch, instance, "MetadataNoToken"))


def test_a_closed_endpoint_is_forbidden_and_counts_nothing(
    ec2: EC2Client, cloudwatch: CloudWatchClient, attach: Callable[..., str]
) -> None:
    """With a token or without, until somebody opens it again."""
    [instance] = launch(ec2, HttpEndpoint="disabled")
    endpoint = attach(instance)
    statuses = [
        ask(endpoint, ROLES_PATH)[0],
        ask(endpoint, ROLES_PATH, **{TOKEN: "any"})[0],
        ask(endpoint, TOKEN_PATH, method="PUT", **{LIFE: "60"})[0],
    ]
    assert [403, 403, 403] == statuses
    metrics = ("MetadataNoToken", "MetadataNoTokenRejected")
    assert [{0.0}, set()] == [set(points(cloudwatch, instance, metric)) for metric in metrics]
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpEndpoint="enabled")
    assert until(lambda: ask(endpoint, ROLES_PATH)[0] == 200)


def test_only_a_running_instance_answers(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """The same endpoint is silent while the instance is stopped and after its end."""
    [instance] = launch(ec2, tags={"local:stopped-at": LONG_AGO})
    endpoint = attach(instance)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(endpoint, ROLES_PATH)
    ec2.start_instances(InstanceIds=[instance])
    assert 200 == ask(endpoint, ROLES_PATH)[0]
    ec2.terminate_instances(InstanceIds=[instance])
    with pytest.raises(http.client.RemoteDisconnected):
        ask(endpoint, ROLES_PATH)


def test_it_tells_what_ec2_knows(ec2: EC2Client, account: str, attach: Callable[..., str]) -> None:
    """Identity, place and user data are the instance's own."""
    launched = ec2.run_instances(ImageId="ami-0abcdef1234567890", MinCount=1, MaxCount=1, UserData="#!/bin/sh\n")
    instance = launched["Instances"][0]["InstanceId"]
    endpoint, shown = attach(instance), describe(ec2, instance)
    document = json.loads(ask(endpoint, "/latest/dynamic/instance-identity/document")[1])
    assert (account, HOME, instance) == tuple(document[name] for name in ("accountId", "region", "instanceId"))
    assert shown["LaunchTime"] == datetime.fromisoformat(document["pendingTime"])
    below = {name: ask(endpoint, f"/latest/meta-data/{name}")[1] for name in ("instance-id", "placement/region")}
    assert {"instance-id": instance, "placement/region": HOME} == below
    assert (200, "#!/bin/sh\n") == ask(endpoint, "/latest/user-data")
    assert {"iam/", "instance-id", "placement/"} <= set(ask(endpoint, "/latest/meta-data/")[1].splitlines())


def test_there_is_no_user_data_where_none_was_given(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """404, as AWS has it."""
    assert 404 == ask(attach(launch(ec2)[0]), "/latest/user-data")[0]


def test_botocore_learns_its_region_there(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """By the availability zone."""
    fetcher = InstanceMetadataRegionFetcher(base_url=attach(launch(ec2)[0]))
    assert HOME == fetcher.retrieve_region()


def test_the_credentials_are_good_for_calls(
    cloud: LocalCloud, ec2: EC2Client, account: str, attach: Callable[..., str]
) -> None:
    """Whoever fetches them acts in the account of the instance."""
    endpoint = attach(launch(ec2)[0])
    fetched = json.loads(ask(endpoint, ROLES_PATH + ask(endpoint, ROLES_PATH)[1])[1])
    session = boto3.Session(fetched["AccessKeyId"], fetched["SecretAccessKey"], fetched["Token"], HOME)
    sts = session.client("sts", endpoint_url=cloud.endpoint)
    assert account == sts.get_caller_identity()["Account"]


def test_an_endpoint_is_attached_once(ec2: EC2Client, attach: Callable[..., str]) -> None:
    """Who asks again gets the same; one hop further is another."""
    [instance] = launch(ec2)
    assert attach(instance) == attach(instance)
    assert attach(instance) != attach(instance, 1)


def test_an_instance_that_does_not_exist_has_none(attach: Callable[..., str]) -> None:
    """The refusal names it."""
    with pytest.raises(LocalCloudError, match="i-0123456789abcdef0"):
        attach("i-0123456789abcdef0")
