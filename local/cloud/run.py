"""The local AWS from outside: start it, deploy to it, call it, control it, stop it.

    with LocalCloud() as cloud:
        cloud.deploy()
        ec2 = cloud.session(account=MEMBERS[0], region="us-east-1").client("ec2")

Several can run at once, each on its own port. All listen on 127.0.0.1 only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.cloud.deploy import Deployment
from local.cloud.process import end_group, free_port, is_free
from local.cloud.session import LocalSession

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import boto3

ROOT: Final = Path(__file__).resolve().parents[2]
RUN: Final = ROOT / "build" / "local"
SERVER_MODULE: Final = "local.server"
SERVER_PYTHON: Final = ROOT / ".venv-local" / "bin" / "python"

SECURITY: Final = "111111111111"
MEMBERS: Final = ("222222222222", "333333333333")
HOME: Final = "eu-west-1"
REGIONS: Final = (HOME, "us-east-1")
ORGANIZATION: Final = "o-local00001"
MEMBERS_UNIT: Final = "ou-loc1-workloads"
ADMINISTRATION: Final = "OrganizationAccountAccessRole"
POLICY_TYPES: Final = frozenset({"SERVICE_CONTROL_POLICY", "DECLARATIVE_POLICY_EC2"})

START_SECONDS: Final = 30


class LocalCloudError(Exception):
    """The local AWS could not carry out a request; the message says what to do."""


class LocalCloud:
    """One local AWS. As a context manager it stops at the end of the block, and also if this process dies."""

    def __init__(
        self, *, port: int | None = None, detached: bool = False, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.outputs: dict[str, str] = {}
        self.log = RUN / f"server-{self.port}.log"
        self.scratch = RUN / f"scratch-{self.port}"
        self._detached = detached
        self._environment = dict(environment or {})
        self._sessions: dict[tuple[str, str], LocalSession] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LocalCloud:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.log.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """The id of the server's process. It leads its own process group, which includes the Lambda workers."""
        if self._process is None:
            raise LocalCloudError("the local AWS has not been started: call start()")
        return self._process.pid

    def start(self) -> None:
        """Start the server, wait until it answers, and create the administration role in the member accounts, as an organisation does."""
        if not SERVER_PYTHON.exists():
            raise LocalCloudError("the local AWS is not installed: run `make setup`")
        if not is_free(self.port):
            raise LocalCloudError(f"port {self.port} is taken: end what listens there, or choose another (LOCAL_PORT)")
        RUN.mkdir(parents=True, exist_ok=True)
        self.scratch.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
                [SERVER_PYTHON, "-m", SERVER_MODULE],
                cwd=ROOT,
                env=self._server_environment(),
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()
        for account in MEMBERS:
            self._create_administration(account)

    def deploy(self, **settings: Any) -> None:
        """Synthesise the app unless the output is up to date, and deploy the service and the roles of the member accounts.

        `settings` override those in cdk.json. If they name organizational units, the stack itself deploys to the members.
        """
        deployment = Deployment.synthesised(ROOT, settings)
        if not settings.get("organizational_units"):
            for account in MEMBERS:
                deployment.deploy_member(self.session(account=account), security_account=SECURITY)
        self.outputs = deployment.deploy_service(self.session())

    def deploy_rules(self, account: str, **settings: Any) -> None:
        """Deploy what each Region of a member gets, into its home Region: the forwarding rule, and the document of the setting `capture`."""
        deployment = Deployment.synthesised(ROOT, settings)
        deployment.deploy_forwarding(self.session(account=account), security_account=SECURITY, home_region=HOME)

    def deploy_guardrails(self, **guardrails: Any) -> None:
        """Deploy the policies of the organisation with this setting, e.g. ``launches=[MEMBERS_UNIT]``, after enabling their types once."""
        organizations: Any = self.session().client("organizations")
        [root] = organizations.list_roots()["Roots"]
        enabled = {each["Type"] for each in root["PolicyTypes"]}
        for kind in sorted(POLICY_TYPES - enabled):
            organizations.enable_policy_type(RootId=root["Id"], PolicyType=kind)
        Deployment.synthesised(ROOT, {"guardrails": guardrails}).deploy_guardrails(self.session())

    def stop(self) -> None:
        """Stop the server and everything that it started."""
        if self._process is None:
            return
        end_group(self._process.pid)
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        self._process = None
        shutil.rmtree(self.scratch, ignore_errors=True)

    def session(self, *, account: str = SECURITY, region: str = HOME) -> boto3.Session:
        """A boto3 session as administrator of an account."""
        place = (account, region)
        if place not in self._sessions:
            self._sessions[place] = LocalSession(endpoint=self.endpoint, account=account, region=region)
        return self._sessions[place]

    def calls(self, *, reset: bool = False) -> list[dict[str, Any]]:
        """The AWS calls since the last reset: `account`, `region`, `service`, `action`, and their number (`calls`)."""
        calls: list[dict[str, Any]] = self.ask("DELETE" if reset else "GET", "calls")
        return calls

    def faults(self, faults: Sequence[Mapping[str, Any]] = ()) -> None:
        """Delay calls or make them fail from now on. Replaces all earlier faults; an empty sequence removes them."""
        self.ask("PUT", "faults", list(faults))

    def alarms(self, *names: str, passed: float = 0) -> dict[str, str]:
        """Let so many seconds pass for metrics of the security account, then evaluate these alarms: their states."""
        asked = {"account": SECURITY, "region": HOME, "names": names, "passed": passed}
        states: dict[str, str] = self.ask("PUT", "alarms", asked)
        return states

    def sessions_last(self, seconds: int | None) -> None:
        """Set the lifetime of role sessions opened from now on; None restores AWS's default."""
        self.ask("PUT", "sessions", {"seconds": seconds})

    def end_sessions(self) -> None:
        """End all open role sessions: their keys are refused."""
        self.ask("DELETE", "sessions")

    def history(
        self,
        metric: str,
        series: Mapping[str, Sequence[tuple[int, Sequence[float | None]]]],
        *,
        account: str,
        region: str,
        period: int = 3600,
    ) -> None:
        """Publish the past of instances at once: runs of values, one a period, each run with the epoch second of its first."""
        alike: dict[str, list[str]] = {}
        for instance, runs in series.items():
            alike.setdefault(json.dumps(runs), []).append(instance)
        pasts = [{"instances": instances, "runs": json.loads(runs)} for runs, instances in alike.items()]
        asked = {"account": account, "region": region, "metric": metric, "period": period, "series": pasts}
        self.ask("PUT", "history", asked)

    def imds(self, instance_id: str, *, account: str, region: str, hops: int = 0) -> str:
        """The endpoint of an instance's metadata service for a client that is `hops` network hops away (a container: 1)."""
        asked = {"account": account, "region": region, "instance_id": instance_id, "hops": hops}
        endpoint: str = self.ask("PUT", "imds", asked)["endpoint"]
        return endpoint

    def ask(self, method: str, name: str, data: Any = None) -> Any:
        """Call the server's control interface (`/_local/<name>`).

        Raises:
            LocalCloudError: the server rejected the request; the message gives its reason.
        """
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(f"{self.endpoint}/_local/{name}", data=body, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise LocalCloudError(f"/_local/{name}: {refusal.read().decode()}") from None

    def _server_environment(self) -> dict[str, str]:
        # Nothing of the caller's AWS settings may reach the functions.
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        settings = {
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",
            "LOCAL_MEMBERS": ",".join(MEMBERS),
            "LOCAL_ORGANIZATION": ORGANIZATION,
            "LOCAL_UNIT": MEMBERS_UNIT,
            "LOG_LEVEL": "INFO",
            "MINISTACK_ACCOUNT_ID": SECURITY,
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": HOME,
            "PYTHONDONTWRITEBYTECODE": "1",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(self.scratch),
        }
        bound = {} if self._detached else {"LOCAL_END_WITH_PARENT": str(self.scratch)}
        return inherited | settings | bound | self._environment

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                break
            try:
                self.ask("GET", "calls")
            except OSError:
                time.sleep(0.05)
            else:
                return
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        self.stop()
        raise LocalCloudError(f"the local AWS did not start; the end of {self.log}:\n{tail}")

    def _create_administration(self, account: str) -> None:
        iam = self.session(account=account).client("iam")
        principal = {"AWS": f"arn:aws:iam::{SECURITY}:root"}
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}],
        }
        iam.create_role(RoleName=ADMINISTRATION, AssumeRolePolicyDocument=json.dumps(trust))
        iam.attach_role_policy(RoleName=ADMINISTRATION, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
