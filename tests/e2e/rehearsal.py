"""A rehearsal of the self-test: what AWS and the instances' software do by themselves, on the local AWS.

A minute of the agenda lasts a second or more, as the machine has time. The instances' user data runs for real, under bash, with
`shutdown` and `cp` out of the way, and with a clock that goes on once a call was made: nothing depends on how busy the machine is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import requests

from imdsv2.selftest import untried_checks
from imdsv2.selftest.agenda import CALLER, QUIET, WITNESS
from imdsv2.selftest.beliefs import BELIEFS
from imdsv2.selftest.order import SELFTEST_TAG
from local.cloud import findings
from local.cloud.run import HOME, LocalCloud
from tests.e2e.otherwise import HAPPENINGS, NEED_FULL_MINUTE, ROLES, STAMPS, Happening, answers
from tests.e2e.world import OF_AN_ORGANIZATION, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

UNTRIED = {belief.id for belief in BELIEFS if belief.check.__module__ == untried_checks.__name__}
"""The beliefs that no self-test tries."""
LINE_AT = 5
FULL_MINUTE_AT = 35
"""The minute of the agenda at which the clock's begins, where that matters: after tokens are required, and well before the end."""
WRITE = "imdsv2-remediation-write"
CALLS_BEFORE_REQUIRED = 4
SHORTEST_MINUTE_SECONDS, LONGEST_MINUTE_SECONDS = 0.8, 4.0
CALLED = re.compile(r"^imdsv2-selftest v[12] .*\n", re.MULTILINE)
CALLS = re.compile(r"^at (\d+) (v1|v2)$", re.MULTILINE)
HOURS_OF_LIFE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A self-test to rehearse: its account, what its input says beside that, and the beliefs in which its AWS is otherwise."""

    account: str
    order: Mapping[str, Any]
    otherwise: frozenset[str] = frozenset()


class Software:
    """Runs the user data of the self-test's instances in one account, and plays Config and Security Hub."""

    def __init__(self, world: World, scratch: Path, run: Run, minute_seconds: float) -> None:
        self._world = world
        self._scratch = scratch
        self._account = account = run.account
        self._minute_seconds = minute_seconds
        self._otherwise = otherwise = run.otherwise
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._witness: str | None = None
        self._rebooted = False
        self._calls: dict[str, list[tuple[int, str]]] = {}
        self._happenings = [each for belief in sorted(otherwise & HAPPENINGS.keys()) for each in HAPPENINGS[belief]]
        self._seen_at: dict[Happening, float] = {}
        self._began_at = datetime.now(UTC)
        self._end = threading.Event()
        self.problem: Exception | None = None
        self._session = world.cloud.session(account=account, region=HOME)
        self._ec2 = self._session.client("ec2")
        self._events = self._session.client("events")
        self._cloudwatch = self._session.client("cloudwatch")
        self._cloudtrail = self._session.client("cloudtrail")
        self._hub: Any = self._session.client("securityhub")
        self._ended_before = {each["InstanceId"] for each in self._tagged()}
        _switch_config_on(self._session.client("config"))
        (scratch / "bin").mkdir()
        for name in ("shutdown", "cp"):
            (scratch / "bin" / name).write_text("#!/bin/bash\n")
            (scratch / "bin" / name).chmod(0o755)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()
            for process in self._running.values():
                process.kill()
                process.wait()
        if self.problem is not None:
            raise self.problem

    def _run(self) -> None:
        try:
            while not self._end.wait(0.3):
                for instance in self.instances():
                    if instance["InstanceId"] not in self._running:
                        self._boot(instance)
                    self._go_on(instance)
                    self._suffer(instance)
                if self._witness is not None and self._is_config_done(self._witness):
                    self._report_by_hubs(self._witness)
                    self._witness = None
        except Exception as error:  # noqa: BLE001 - it fails the test in its own thread
            self.problem = error

    def instances(self) -> list[dict[str, Any]]:
        """Those that this self-test launched."""
        return [each for each in self._tagged() if each["InstanceId"] not in self._ended_before]

    def _tagged(self) -> list[dict[str, Any]]:
        found = self._ec2.describe_instances(Filters=[{"Name": "tag-key", "Values": [SELFTEST_TAG]}])
        return [dict(each) for reservation in found["Reservations"] for each in reservation["Instances"]]

    def _boot(self, instance: dict[str, Any]) -> None:
        instance_id = instance["InstanceId"]
        endpoint = self._world.cloud.imds(instance_id, account=self._account, region=HOME)
        self._running[instance_id] = self._start(instance, endpoint)
        self._give_it_a_past(instance)
        if role_of(instance) == WITNESS:
            self._witness = findings.instance_arn(self._account, HOME, instance_id)
            self._report_by_config(self._witness)

    def _start(self, instance: dict[str, Any], endpoint: str) -> subprocess.Popen[bytes]:
        script = self._scratch / f"{instance['InstanceId']}.sh"
        text = self._user_data(endpoint)
        script.write_text(text)
        self._calls[instance["InstanceId"]] = [(int(at), kind) for at, kind in CALLS.findall(text)]
        clock = self._scratch / f"{instance['InstanceId']}.clock"
        clock.write_text("0")
        environment = {
            "PATH": f"{self._scratch / 'bin'}:{os.environ['PATH']}",
            "IMDS": endpoint,
            "CONSOLE": str(self._scratch / instance["InstanceId"]),
            "CLOCK": f"cat {clock}",
        }
        return subprocess.Popen(["bash", script], env=environment)

    @staticmethod
    def _user_data(endpoint: str) -> str:
        """As the instance itself reads it: with a token, so that the self-test counts no call of ours; none from a disabled endpoint."""
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = requests.put(f"{endpoint}/latest/api/token", headers=headers, timeout=10).text
        headers = {"X-aws-ec2-metadata-token": token}
        answer = requests.get(f"{endpoint}/latest/user-data", headers=headers, timeout=10)
        return answer.text if answer.ok else ""

    def _go_on(self, instance: dict[str, Any]) -> None:
        """Pass on what the instance reported, and let its clock reach the next call once the one before was made.

        IMDSv1 calls that are to be refused wait until tokens are required.
        """
        instance_id = instance["InstanceId"]
        console, calls = self._scratch / instance_id, self._calls[instance_id]
        made = 0
        if console.exists():
            self._tell_of_reboot(instance, console)
            text = console.read_text()
            made = len(CALLED.findall(text))
            self._world.cloud.ask("PUT", "console", {"instance_id": instance_id, "text": text})
        if made < len(calls) and (self._may_call(instance, made) or calls[made][1] == "v2"):
            due = self._scratch / f"{instance_id}.due"
            due.write_text(str(calls[made][0]))
            due.rename(self._scratch / f"{instance_id}.clock")

    def _tell_of_reboot(self, instance: dict[str, Any], console: Path) -> None:
        """What its user data reports at the next boot; here it runs on, as nobody sees a reboot but CloudTrail.

        Where EC2 makes no reboot, the next boot is that of the start, and comes a moment after it.
        """
        if role_of(instance) != QUIET or self._rebooted:
            return
        caused_by, after = ("StartInstances", 5) if "reboots-are-made" in self._otherwise else ("RebootInstances", 0)
        wanted: Any = [{"AttributeKey": "EventName", "AttributeValue": caused_by}]
        told = self._cloudtrail.lookup_events(LookupAttributes=wanted, StartTime=self._began_at)["Events"]
        self._rebooted = bool(told)
        if self._rebooted:
            with console.open("a") as written:
                written.write(f"imdsv2-selftest boot {time.time() + after:.3f} 000\n")

    def _may_call(self, instance: dict[str, Any], made: int) -> bool:
        """Whether tokens are as the next IMDSv1 call needs them."""
        v1_before = sum(kind == "v1" for _, kind in self._calls[instance["InstanceId"]][:made])
        answered_first = CALLS_BEFORE_REQUIRED if role_of(instance) == CALLER else 0
        required = instance["MetadataOptions"]["HttpTokens"] == "required"
        applied = instance["MetadataOptions"]["State"] == "applied"
        return v1_before < answered_first or (required and applied)

    def _give_it_a_past(self, instance: dict[str, Any]) -> None:
        """Hours of clean datapoints, as the line enforces nothing without a whole hour of evidence; and load of a few minutes ago.

        A rehearsal may fit into one minute, whose one datapoint would show no distance to another.
        """
        instance_id = instance["InstanceId"]
        begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS_OF_LIFE)
        runs = [(int(begins.timestamp()), [0.0] * HOURS_OF_LIFE)]
        for metric in ("MetadataNoToken", "CPUUtilization"):
            self._world.cloud.history(metric, {instance_id: runs}, account=self._account, region=HOME)
        dimensions = [{"Name": "InstanceId", "Value": instance_id}]
        load: Any = {"MetricName": "CPUUtilization", "Dimensions": dimensions, "Value": 1.0}
        load["Timestamp"] = datetime.now(UTC) - timedelta(minutes=4)
        if role_of(instance) == CALLER and "cpu-while-running" in self._otherwise:
            load |= {"Value": 0.0, "Timestamp": datetime.now(UTC) - timedelta(minutes=8)}
        self._cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=[load])

    def _report_by_config(self, arn: str) -> None:
        """What Config does about an instance that allows IMDSv1."""
        if "config-event-arrives" in self._otherwise:
            return
        detail = json.dumps(findings.config_change(arn))
        self._events.put_events(
            Entries=[{"Source": "aws.config", "DetailType": "Config Rules Compliance Change", "Detail": detail}]
        )

    def _is_config_done(self, arn: str) -> bool:
        """Whether Config's verdict was answered: with a hub's in one batch, there would be one verdict for both."""
        return "config-event-arrives" in self._otherwise or self._world.has_judged(arn)

    def _report_by_hubs(self, arn: str) -> None:
        """What both Security Hubs do about it."""
        if "security-hub-finding-arrives" not in self._otherwise:
            self._hub.batch_import_findings(Findings=[findings.finding(arn)])
        if "security-hub-v2-finding-arrives" not in self._otherwise:
            place = {"account": self._account, "region": HOME}
            self._world.cloud.ask("PUT", "findings-v2", {**place, "findings": [findings.finding_v2(arn)]})

    def _suffer(self, instance: dict[str, Any]) -> None:
        """Let happen what is due, each once."""
        for happening in [each for each in self._happenings if each.role == role_of(instance)]:
            if happening not in self._seen_at and happening.when(instance):
                self._seen_at[happening] = time.monotonic()
            since = self._seen_at.get(happening)
            if since is not None and time.monotonic() - since >= happening.after_minutes * self._minute_seconds:
                self._happenings.remove(happening)
                happening.do(self._session, instance["InstanceId"])


def role_of(instance: Mapping[str, Any]) -> str:
    """Its part in the self-test: the last word of its name."""
    [name] = [tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name"]
    return str(name.split()[-1])


@contextmanager
def guarding(world: World) -> Iterator[None]:
    """The guard's schedule, faster than on AWS."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(3):
            world.guard()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _switch_config_on(config: Any) -> None:
    config.put_configuration_recorder(
        ConfigurationRecorder={"name": "default", "roleARN": "arn:aws:iam::222222222222:role/c"}
    )
    config.start_configuration_recorder(ConfigurationRecorderName="default")
    source = {"Owner": "AWS", "SourceIdentifier": "EC2_IMDSV2_CHECK"}
    config.put_config_rule(ConfigRule={"ConfigRuleName": findings.CONFIG_RULE, "Source": source})


@contextmanager
def deployed() -> Iterator[World]:
    """The stack with the self-test, deployed for an organisation, with the guard's schedule alone, which is faster than on AWS."""
    with LocalCloud(environment={"SFN_WAIT_SCALE": "0.2"}) as cloud:
        cloud.deploy(
            selftest=True,
            **OF_AN_ORGANIZATION,
        )
        world = World(cloud)
        world.switch_batching_window_off()
        world.stop_schedules()
        # On AWS the calls of the line's instance lie in several periods of five minutes; here a minute lasts a second or so.
        world.set_policy({"mode": "enforce", "rejected_periods": 1, "watch_hours": 30})
        with guarding(world):
            yield world


def rehearse(world: World, scratch: Path, runs: Sequence[Run], pace: float) -> list[dict[str, Any]]:
    """Run self-tests at the same time, to their ends; their executions as Step Functions describes them. ``pace``: seconds a minute."""
    with ExitStack() as meanwhile:
        world.cloud.faults([fault for run in runs for fault in answers(run.account, run.otherwise)])
        meanwhile.callback(world.cloud.faults)
        for run in runs:
            meanwhile.enter_context(_stamping(world, run))
            meanwhile.enter_context(_widening(world, run))
            folder = scratch / run.account
            folder.mkdir()
            meanwhile.enter_context(Software(world, folder, run, pace).running())
        if any(run.otherwise & NEED_FULL_MINUTE for run in runs):
            time.sleep((60 - FULL_MINUTE_AT * pace - time.time()) % 60)
        orders = [order(run.account, minute_seconds=pace, **run.order) for run in runs]
        return [ended(world, each) for each in [start(world, each) for each in orders]]


@contextmanager
def _stamping(world: World, run: Run) -> Iterator[None]:
    """Let metrics of the account be stamped as it has to be."""
    stamps = [STAMPS[belief] for belief in run.otherwise & STAMPS.keys()]
    for metric, seconds in stamps:
        world.cloud.ask("PUT", "stamps", {"account": run.account, "metric": metric, "seconds": seconds})
    yield
    for metric, _ in stamps:
        world.cloud.ask("PUT", "stamps", {"account": run.account, "metric": metric, "seconds": 0})


@contextmanager
def _widening(world: World, run: Run) -> Iterator[None]:
    """Let somebody give the write role more than it needs, if that is to be otherwise."""
    if not run.otherwise & ROLES:
        yield
        return
    iam = world.cloud.session(account=run.account).client("iam")
    more = {"Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [more]})
    iam.put_role_policy(RoleName=WRITE, PolicyName="more", PolicyDocument=document)
    yield
    iam.delete_role_policy(RoleName=WRITE, PolicyName="more")


def order(account: str, **changes: Any) -> dict[str, Any]:
    """The input of a rehearsal."""
    launched_at = (datetime.now(UTC) - timedelta(hours=HOURS_OF_LIFE)).isoformat()
    return {
        "account": account,
        "region": HOME,
        "confirm": True,
        "line_at": LINE_AT,
        "minute_seconds": SHORTEST_MINUTE_SECONDS,
        "tags": {"local:launched-at": launched_at},
        **changes,
    }


def start(world: World, given: dict[str, Any]) -> str:
    """Start the state machine; returns the execution's ARN."""
    machine = world.cloud.outputs["SelfTestStateMachineArn"]
    started = world.home.client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(given))
    return str(started["executionArn"])


def minute_seconds(world: World, account: str) -> float:
    """How long a minute has to last so that this machine keeps up with the agenda: by the time that a plan takes."""
    began = time.monotonic()
    for _ in range(2):
        ended(world, start(world, order(account, confirm=False)))
    took = (time.monotonic() - began) / 2
    return round(min(max(took, SHORTEST_MINUTE_SECONDS), LONGEST_MINUTE_SECONDS), 2)


def ended(world: World, execution: str, *, seconds: int = 400) -> dict[str, Any]:
    """Wait for the end of an execution; returns its description."""
    states = world.home.client("stepfunctions")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        described = states.describe_execution(executionArn=execution)
        if described["status"] != "RUNNING":
            return dict(described)
        time.sleep(0.5)
    raise AssertionError(f"the self-test has not ended after {seconds} s")


def result(world: World, output: dict[str, Any]) -> dict[str, Any]:
    """The result in S3."""
    s3 = world.home.client("s3")
    document: dict[str, Any] = json.loads(s3.get_object(Bucket=output["bucket"], Key=output["key"])["Body"].read())
    return document


def output(done: dict[str, Any]) -> dict[str, Any]:
    """The output of an execution, which must have succeeded."""
    assert "SUCCEEDED" == done["status"], done.get("cause")
    document: dict[str, Any] = json.loads(done["output"])
    return document


def unlike(outcome: str, document: dict[str, Any]) -> dict[str, str]:
    """The beliefs with another outcome, and what was seen of them."""
    return {row["belief"]: row["seen"] for row in document["beliefs"] if row["outcome"] != outcome}
