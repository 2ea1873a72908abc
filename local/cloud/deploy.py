"""What `cdk deploy` does, without its command line: synthesise, upload the assets, create the stack from the template."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import boto3

SERVICE_STACK: Final = "Imdsv2Remediation"
MEMBER_STACK: Final = "Imdsv2RemediationMember"
GUARDRAILS_STACK: Final = "Imdsv2RemediationGuardrails"
FORWARDING_STACK: Final = "Imdsv2RemediationForwarding"
SYNTHESISED_FROM: Final = ("app.py", "cdk.json", "requirements.txt", "infra", "lambdas")
STACK_SECONDS: Final = 120
BOOTSTRAP_PARAMETER: Final = "/cdk-bootstrap/hnb659fds/version"
BOOTSTRAP_VERSION: Final = "30"
# The time of every file in an uploaded archive: the oldest that a zip can hold.
ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)


class DeployError(Exception):
    """The app could not be synthesised or deployed; the message says what failed."""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A synthesised app that is ready to deploy."""

    assembly: Path

    @classmethod
    def synthesised(cls, root: Path, settings: Mapping[str, Any]) -> Deployment:
        """The app at `root` with `settings` in place of some of cdk.json's; synthesised only if something has changed."""
        context = json.dumps(settings, sort_keys=True)
        name = f"cdk.out-{hashlib.sha256(context.encode()).hexdigest()[:8]}" if settings else "cdk.out"
        assembly = root / "build" / name
        with _alone(root / "build" / f"{name}.lock"):
            if not _up_to_date(root, assembly / "manifest.json"):
                _synthesise(root, assembly, context)
        return cls(assembly=assembly)

    def deploy_service(self, session: boto3.Session) -> dict[str, str]:
        """Deploy the service into an account and Region; returns the outputs of its stack."""
        session.client("ssm").put_parameter(
            Name=BOOTSTRAP_PARAMETER, Value=BOOTSTRAP_VERSION, Type="String", Overwrite=True
        )
        template_url = self._upload_assets(session, SERVICE_STACK)
        return deploy_stack(session, SERVICE_STACK, TemplateURL=template_url)

    def deploy_member(self, session: boto3.Session, *, security_account: str) -> dict[str, str]:
        """Deploy the roles of a member account as an operator would manually: a plain template with one parameter."""
        return self._deploy_by_hand(session, MEMBER_STACK, SecurityAccountId=security_account)

    def deploy_forwarding(self, session: boto3.Session, *, security_account: str, home_region: str) -> dict[str, str]:
        """Deploy the rule that forwards Config's events from an account and Region, as an operator would manually."""
        return self._deploy_by_hand(
            session, FORWARDING_STACK, SecurityAccountId=security_account, HomeRegion=home_region
        )

    def deploy_guardrails(self, session: boto3.Session) -> dict[str, str]:
        """Deploy the policies of the organisation into its management account, as an operator would manually."""
        return self._deploy_by_hand(session, GUARDRAILS_STACK)

    def _deploy_by_hand(self, session: boto3.Session, stack: str, **parameters: str) -> dict[str, str]:
        template = (self.assembly / f"{stack}.template.json").read_text()
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        return deploy_stack(session, stack, TemplateBody=template, Parameters=given)

    def _upload_assets(self, session: boto3.Session, stack: str) -> str:
        """Upload the stack's assets, including its template, to where the template expects them; returns the template's URL."""
        s3, template_url = session.client("s3"), ""
        account = session.client("sts").get_caller_identity()["Account"]
        region = session.region_name
        files = json.loads((self.assembly / f"{stack}.assets.json").read_text())["files"]
        for file in files.values():
            [place] = file["destinations"].values()
            bucket = place["bucketName"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)
            _ensure_bucket(s3, bucket, region)
            source = self.assembly / file["source"]["path"]
            body = zipped(source) if file["source"]["packaging"] == "zip" else source.read_bytes()
            s3.put_object(Bucket=bucket, Key=place["objectKey"], Body=body)
            if file["source"]["path"] == f"{stack}.template.json":
                template_url = f"{s3.meta.endpoint_url}/{bucket}/{place['objectKey']}"
        return template_url


def deploy_stack(session: boto3.Session, name: str, **template: Any) -> dict[str, str]:
    """Create or update a stack, wait until it is complete, and return its outputs.

    Raises:
        DeployError: names the resources that failed, and why.
    """
    cloudformation = session.client("cloudformation")
    exists = any(each["StackName"] == name for each in cloudformation.describe_stacks()["Stacks"])
    deploy = cloudformation.update_stack if exists else cloudformation.create_stack
    deploy(StackName=name, Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"], **template)
    deadline = time.monotonic() + STACK_SECONDS
    while time.monotonic() < deadline:
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        if stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.1)
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    failures = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    reasons = [
        f"{event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason')}"
        for event in failures
    ]
    raise DeployError(f"stack {name} was not deployed: {'; '.join(reasons) or 'no resource failed, it took too long'}")


def zipped(folder: Path) -> bytes:
    """A folder as a zip archive. The same files always give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(str(path.relative_to(folder)), ZIP_EPOCH)
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return buffer.getvalue()


def _ensure_bucket(s3: Any, bucket: str, region: str) -> None:
    if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})


def _up_to_date(root: Path, manifest: Path) -> bool:
    if not manifest.exists():
        return False
    sources = [root / name for name in SYNTHESISED_FROM]
    files = [path for source in sources for path in (source.rglob("*.*") if source.is_dir() else [source])]
    written = manifest.stat().st_mtime
    return all(path.stat().st_mtime < written for path in files if "__pycache__" not in path.parts)


def _synthesise(root: Path, assembly: Path, context: str) -> None:
    environment = {**os.environ, "CDK_OUTDIR": str(assembly), "CDK_CONTEXT_JSON": context}
    done = subprocess.run(
        [sys.executable, "app.py"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DeployError(f"`python app.py` failed:\n{done.stderr[-3000:]}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Allow one synthesis at a time, as several local AWSs may be deployed at once."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
