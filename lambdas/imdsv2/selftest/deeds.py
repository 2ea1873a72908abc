"""What a self-test does to its instances, deed by deed; AWS's answers become observations, whatever they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, KEYS_REFUSED, error_code, error_message, may_pass
from imdsv2.aws.pages import pages
from imdsv2.aws.reboots import last_reboots
from imdsv2.aws.refusals import cause_of
from imdsv2.errors import PolicyRefused
from imdsv2.selftest.agenda import CALLER, CLOSED, HOP_LIMIT_WHILE_STOPPED, LINE, QUIET
from imdsv2.selftest.looks import metric_query, sights
from imdsv2.selftest.metrics import ACCEPTED, REJECTED
from imdsv2.selftest.seen import CONFIG_RULE, OK, Answer, Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imdsv2.selftest.account import Account
    from imdsv2.selftest.home import Home
    from imdsv2.selftest.seen import Seen

    Policy = Mapping[str, Any]

REQUIRED: dict[str, Any] = {"HttpTokens": "required"}
CALLED_BY = "imdsv2-remediation-selftest"
_INSTANCE, _CONTINUOUS = "AWS::EC2::Instance", "CONTINUOUS"

_UNKNOWN_ID, _MALFORMED_ID = "i-0ffffffffffffffff", "i-selftest"
_LOOKS_AFTER_CHANGE = 20
_HOUR, _FINE = 3600, 300
"""Seconds of the periods that the service reads."""
_BETWEEN_LOOKS_MINUTES = 1 / 40


@dataclass(kw_only=True)
class Deeds:
    """Carries out deeds by name. An error of a call is an answer like any other."""

    account: Account
    home: Home
    seen: Seen
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    answers: list[Answer] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)

    def do(self, deed: str) -> None:
        """Carry out one deed. Raises nothing that a call may raise."""
        try:
            _DEEDS[deed](self)
        except (*CALL_FAILURES, PolicyRefused) as error:
            # E.g. the role could not be assumed: none of the deed's own calls was made.
            self._note_error(deed, error)

    def _note(self, name: str, code: str, message: str = "", raw: Mapping[str, Any] | None = None) -> None:
        self.answers.append(Answer(name=name, at=self.now(), code=code, message=message, raw=raw or {}))

    def _note_error(self, name: str, error: Exception) -> None:
        code = error_code(error)
        # What a policy forbids says nothing of the call either.
        conclusive = not may_pass(error) and code not in KEYS_REFUSED and cause_of(error) is None
        message = error_message(error)
        self.answers.append(Answer(name=name, at=self.now(), code=code, message=message, conclusive=conclusive))

    def _try(self, name: str, call: Callable[[], Any], raw: Callable[[Any], Mapping[str, Any]] | None = None) -> None:
        """Make a call and note its answer."""
        try:
            answer = call()
        except (*CALL_FAILURES, PolicyRefused) as error:
            self._note_error(name, error)
        else:
            self._note(name, OK, raw=raw(answer) if raw else {})

    def _id(self, role: str) -> str:
        return self.seen.instances[role]

    def probe(self) -> None:
        """Error codes, and condition keys of what is sent."""
        ec2 = self.account.client("ec2")
        self._try("dry run", lambda: _modify(ec2, self._id(QUIET), DryRun=True))
        self._try("unknown id", lambda: ec2.describe_instances(InstanceIds=[_UNKNOWN_ID]))
        self._try("malformed id", lambda: ec2.describe_instances(InstanceIds=[_MALFORMED_ID]))
        ids = list(self.seen.instances.values())
        self._try("managed resources", lambda: ec2.describe_instances(InstanceIds=ids, IncludeManagedResources=True))
        cloudwatch = self.account.client("cloudwatch")
        self._try("empty metric", lambda: self._ask_for_nothing(cloudwatch), _statuses)
        self._keys_of_what_is_sent()

    def close(self) -> None:
        """Disable the endpoint of an instance that has its user data by now: nothing else ends that instance by itself."""
        ec2 = self.account.client("ec2")
        closed = self._id(CLOSED)
        disable = {"InstanceId": closed, "HttpEndpoint": "disabled"}
        self._try("close", lambda: ec2.modify_instance_metadata_options(**disable), _changed)

    def probe_closed(self) -> None:
        """A disabled endpoint: the condition key, and a change of tokens."""
        ec2, quiet, closed = self.account.client("ec2"), self._id(QUIET), self._id(CLOSED)
        self.sights += sights(ec2, self.account, {CLOSED: closed}, self.now)
        endpoint = _only_if({"StringEquals": {"ec2:MetadataHttpEndpoint": "enabled"}})
        self._try("dry run closed", lambda: _modify(ec2, closed, DryRun=True))
        self._dry_run("endpoint now: with", endpoint, quiet, REQUIRED)
        self._dry_run("endpoint now: without", endpoint, closed, REQUIRED)
        self._try("require closed", lambda: _modify(ec2, closed))
        self.sights += sights(ec2, self.account, {CLOSED: closed}, self.now)

    def _ask_for_nothing(self, cloudwatch: Any) -> Any:
        """A metric that has no datapoint: nothing was refused yet."""
        query = metric_query("none", REJECTED, self._id(QUIET))
        span = {"StartTime": self.seen.began_at - timedelta(hours=1), "EndTime": self.now()}
        return cloudwatch.get_metric_data(MetricDataQueries=[query], **span)

    def _keys_of_what_is_sent(self) -> None:
        quiet = self._id(QUIET)
        tokens = _only_if({"StringEquals": {"ec2:Attribute/HttpTokens": "required"}})
        self._dry_run("tokens sent: with", tokens, quiet, REQUIRED)
        self._dry_run("tokens sent: without", tokens, quiet, {"HttpTokens": "optional"})
        options = _only_if({"ForAnyValue:StringEquals": {"ec2:Attribute": ["HttpPutResponseHopLimit"]}})
        self._dry_run("options sent: with", options, quiet, {**REQUIRED, "HttpPutResponseHopLimit": 2})
        self._dry_run("options sent: without", options, quiet, REQUIRED)

    def _dry_run(self, name: str, policy: Policy, instance_id: str, sent: Mapping[str, Any]) -> None:
        ec2 = self.account.client("ec2", policy)
        self._try(name, lambda: ec2.modify_instance_metadata_options(InstanceId=instance_id, DryRun=True, **sent))

    def surroundings(self) -> None:
        """Config, both Security Hubs, StackSets and the policy."""
        config = self.account.client("config")
        self._try("config", config.describe_configuration_recorder_status, lambda answer: _config(answer, config))
        hub = self.account.client("securityhub")
        self._try("hub", hub.describe_hub)
        self._try("hub v2", hub.describe_security_hub_v2)
        self._try("hub v2 at home", self.home.hub_v2)
        self._try("findings v2", self.home.findings_v2)
        self._try("stack sets", self.home.stack_instances, lambda found: {"instances": found})
        self._try("policy", self.home.policy, lambda policy: policy.to_document())

    def roles(self) -> None:
        """The service's own check of the write and rollback roles, on an open and a closed instance."""
        targets = [str(self.account.arn(self._id(role))) for role in (QUIET, CLOSED)]
        answer = self.home.invoke(self.home.names.check, {"targets": targets})
        error = answer.get("error", {})
        self._note("roles", str(error.get("code", OK)), str(error.get("message", "")), raw=answer)

    def require(self) -> None:
        """Require tokens on two instances, and look often at what EC2 shows after that."""
        ec2 = self.account.client("ec2")
        changed = {role: self._id(role) for role in (CALLER, QUIET)}
        for role, instance_id in changed.items():
            self._try(f"require {role}", partial(_modify, ec2, instance_id), _changed)
        for _ in range(_LOOKS_AFTER_CHANGE):
            self.sights += sights(ec2, self.account, changed, self.now)
            self.sleep(_BETWEEN_LOOKS_MINUTES * self.seen.minute_seconds)

    def reboot(self) -> None:
        ec2 = self.account.client("ec2")
        self._try("reboot", lambda: ec2.reboot_instances(InstanceIds=[self._id(QUIET)]))

    def stop(self) -> None:
        ec2 = self.account.client("ec2")
        self._try("stop", lambda: ec2.stop_instances(InstanceIds=[self._id(QUIET)]))

    def change_stopped(self) -> None:
        """Another hop limit, which shows whether a change of a stopped instance lasts."""
        ec2 = self.account.client("ec2")
        self.sights += sights(ec2, self.account, {QUIET: self._id(QUIET)}, self.now)
        more = {"HttpPutResponseHopLimit": HOP_LIMIT_WHILE_STOPPED}
        self._try("change stopped", lambda: _modify(ec2, self._id(QUIET), **more), _changed)

    def start(self) -> None:
        ec2 = self.account.client("ec2")
        self._try("start", lambda: ec2.start_instances(InstanceIds=[self._id(QUIET)]))

    def terminate(self) -> None:
        ec2 = self.account.client("ec2")
        self._try("terminate", lambda: ec2.terminate_instances(InstanceIds=[self._id(CLOSED)]))

    def change_terminated(self) -> None:
        ec2 = self.account.client("ec2")
        self._try("change terminated", lambda: _modify(ec2, self._id(CLOSED)))

    def trail(self) -> None:
        """What CloudTrail tells of the reboot, as the service asks."""
        cloudtrail, quiet = self.account.client("cloudtrail"), self._id(QUIET)
        told = partial(last_reboots, cloudtrail, {quiet}, self.now())
        self._try("trail", told, lambda found: {"rebooted_at": found[quiet].isoformat() if quiet in found else None})

    def hours(self) -> None:
        """The same calls by the hour, as evidence is read, and by five minutes."""
        cloudwatch, caller = self.account.client("cloudwatch"), self._id(CALLER)
        queries = [metric_query(f"p{period}", ACCEPTED, caller, period) for period in (_HOUR, _FINE)]
        begins = self.seen.began_at.replace(minute=0, second=0, microsecond=0)
        span = {"StartTime": begins, "EndTime": self.now()}
        self._try("hours", lambda: cloudwatch.get_metric_data(MetricDataQueries=queries, **span), _statuses)

    def enforce(self) -> None:
        """The service itself judges an instance, is told to accept its youth, and enforces it."""
        target = str(self.account.arn(self._id(LINE)))
        judge = {"targets": [target], "dry_run": False, "caller": CALLED_BY}
        until = (self.now() + timedelta(days=1)).date().isoformat()
        accept = {"accept": {"targets": [target]}, "owner": CALLED_BY, "reason": "Self-test.", "until": until}
        manual = self.home.names.manual
        self.home.invoke(manual, judge)
        accepted = self.home.invoke(manual, {**accept, "dry_run": False, "caller": CALLED_BY})
        answer = accepted if "error" in accepted else self.home.invoke(manual, judge)
        error = answer.get("error") or {}
        result: Mapping[str, Any] = next(iter(answer.get("results") or []), {})
        self._note("enforce", str(error.get("code", OK)), str(error.get("message", "")), raw=result)

    def clear(self) -> None:
        """Release what the rollback holds: the instance's cohort, which may be that of other instances of the same image."""
        target = str(self.account.arn(self._id(LINE)))
        command = {"clear": {"targets": [target]}, "reason": "Self-test.", "dry_run": False, "caller": CALLED_BY}
        answer = self.home.invoke(self.home.names.manual, command)
        error = answer.get("error") or {}
        self._note("clear", str(error.get("code", OK)), str(error.get("message", "")), raw=answer)


_DEEDS: Mapping[str, Callable[[Deeds], None]] = {
    "probe": Deeds.probe,
    "close": Deeds.close,
    "probe_closed": Deeds.probe_closed,
    "surroundings": Deeds.surroundings,
    "roles": Deeds.roles,
    "require": Deeds.require,
    "reboot": Deeds.reboot,
    "stop": Deeds.stop,
    "change_stopped": Deeds.change_stopped,
    "start": Deeds.start,
    "terminate": Deeds.terminate,
    "change_terminated": Deeds.change_terminated,
    "trail": Deeds.trail,
    "hours": Deeds.hours,
    "enforce": Deeds.enforce,
    "clear": Deeds.clear,
}


def _modify(ec2: Any, instance_id: str, **more: Any) -> Any:
    return ec2.modify_instance_metadata_options(InstanceId=instance_id, **REQUIRED, **more)


def _only_if(condition: Mapping[str, Any]) -> Policy:
    """A session policy that allows the change under one condition only."""
    allowed = {"Effect": "Allow", "Action": "ec2:ModifyInstanceMetadataOptions", "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [{**allowed, "Condition": condition}]}


def _changed(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"InstanceMetadataOptions": answer.get("InstanceMetadataOptions", {})}


def _statuses(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    results = answer.get("MetricDataResults", [])
    shown = sorted(results, key=lambda each: str(each.get("Id")))
    return {"results": [{"status": each.get("StatusCode"), "values": each.get("Values", [])} for each in shown]}


def _config(answer: Mapping[str, Any], config: Any) -> Mapping[str, Any]:
    """Whether a recorder is on that records instances at once, and which rules evaluate IMDSv2."""
    running = {each.get("name") for each in answer.get("ConfigurationRecordersStatus", []) if each.get("recording")}
    recorders = config.describe_configuration_recorders().get("ConfigurationRecorders", [])
    recording = any(each.get("name") in running and records_at_once(each) for each in recorders)
    rules = [each["ConfigRuleName"] for each in _rules(config) if _evaluates_imdsv2(each)]
    return {"recording": recording, "recorders": recorders, "rules": rules}


def records_at_once(recorder: Mapping[str, Any]) -> bool:
    """Whether a recorder of Config records instances when they change, and not daily or not at all."""
    group, mode = recorder.get("recordingGroup", {"allSupported": True}), recorder.get("recordingMode", {})
    if _INSTANCE in group.get("exclusionByResourceTypes", {}).get("resourceTypes", []):
        return False
    listed = group.get("resourceTypes", [])
    frequency = mode.get("recordingFrequency", _CONTINUOUS)
    for override in mode.get("recordingModeOverrides", []):
        if _INSTANCE in override.get("resourceTypes", []):
            frequency = override["recordingFrequency"]
    return frequency == _CONTINUOUS and (not listed or _INSTANCE in listed)


def _rules(config: Any) -> Iterator[Mapping[str, Any]]:
    for page in pages(config.describe_config_rules):
        yield from page["ConfigRules"]


def _evaluates_imdsv2(rule: Mapping[str, Any]) -> bool:
    return rule.get("Source", {}).get("SourceIdentifier") == "EC2_IMDSV2_CHECK" or CONFIG_RULE in rule["ConfigRuleName"]
