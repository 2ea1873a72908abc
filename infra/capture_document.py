"""The document with which Systems Manager has the IMDS Packet Analyzer watch an instance for a while.

What it runs is fixed when it is deployed: the artefact by its digest, and how long as one of a few values. It installs nothing, and leaves
nothing but what the analyzer itself makes (an empty folder `/var/log/imds`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Aws, CfnTag, Fn, aws_ssm

from imdsv2.people.culprit.request import FETCH, LONGEST_PRINTED, SECONDS, WATCH
from imdsv2.version import VERSION, VERSION_TAG

if TYPE_CHECKING:
    from constructs import Construct

    from infra.capture_options import CaptureOptions
    from infra.names import Names

BEYOND_SECONDS = 90
"""Seconds after which the step is ended in any case, beyond those for which it watches."""

LOGGING = """[loggers]
keys=root
[handlers]
keys=file
[formatters]
keys=line
[logger_root]
level=INFO
handlers=file
[handler_file]
class=FileHandler
formatter=line
args=('trace.log',)
[formatter_line]
format=[%(asctime)s] [%(levelname)s] %(message)s"""
"""The analyzer takes this in place of its log in /var/log: a file in its own folder, in the form that its README has."""


def script(options: CaptureOptions) -> list[str]:
    """The shell script, by line. It prints each kind of line of the log once, with how often it came: what is answered of the output is
    short. Process ids and times are taken off before that, or every call of a script would be a kind of its own."""
    return [
        "set -eu",
        "umask 077",
        "work=$(mktemp -d); trap 'rm -rf \"$work\"' EXIT",
        # Systems Manager goes on with the next step when one has failed.
        (
            f"[ -f '{options.file}' ] || "
            "{ echo 'The artefact of the setting capture was not fetched. Nothing was run.' >&2; exit 2; }"
        ),
        (
            f"echo '{options.sha256}  {options.file}' | sha256sum -c - >/dev/null || "
            "{ echo 'The artefact is not the one of the setting capture: its SHA-256 is another. Nothing was run.' >&2; exit 3; }"
        ),
        f"tar -xzf '{options.file}' -C \"$work\" --no-same-owner",
        f"rm -f '{options.file}'",
        'cd "$work/src"',
        (
            "python3 -c 'import bcc' 2>/dev/null || "
            "{ echo 'Python 3 has no module bcc here: install BCC as the README of the analyzer says. Nothing was run.' >&2; exit 4; }"
        ),
        f"cat >logging.conf <<'END'\n{LOGGING}\nEND",
        "status=0",
        "timeout -k 10 -s INT {{ Seconds }} python3 -u imds_snoop.py >tool.out 2>&1 || status=$?",
        "touch trace.log",
        (
            "grep -ai imdsv trace.log | cut -c 1-1500 | sed -E 's/^\\[[^]]*\\] //; s/\\(pid:[0-9]+/(pid:0/g' | "
            f"sort | uniq -c | sort -rn | head -c {LONGEST_PRINTED} || true"
        ),
        # 124: it was ended when its time was over, as it should be.
        'case "$status" in 0|124|130) ;; *) echo "The analyzer ended with $status:" >&2; tail -c 2000 tool.out >&2; exit 5;; esac',
        # What has not begun to watch has seen nothing, which is not the same as that there was nothing.
        "grep -q 'Starting ImdsPacketAnalyzer' tool.out || { echo 'The analyzer had not begun when its time was over:' >&2; tail -c 2000 tool.out >&2; exit 6; }",
    ]


def content(options: CaptureOptions) -> dict[str, Any]:
    """The document. Where downloadContent puts a file if no folder is named, the next step begins, as in AWS-RunRemoteScript."""
    host = Fn.join("", ["https://", options.bucket, ".s3.", options.region, ".", Aws.URL_SUFFIX, "/", options.key])
    on_linux = {"StringEquals": ["platformType", "Linux"]}
    return {
        "schemaVersion": "2.2",
        "description": "Watches for a while which processes call IMDSv1: AWS's IMDS Packet Analyzer, of the setting capture",
        "parameters": {
            "Seconds": {
                "type": "String",
                "description": "How long",
                "default": str(SECONDS[1]),
                "allowedValues": [str(each) for each in SECONDS],
            }
        },
        "mainSteps": [
            {
                "action": "aws:downloadContent",
                "name": FETCH,
                "precondition": on_linux,
                "inputs": {"sourceType": "S3", "sourceInfo": Fn.join("", ['{"path": "', host, '"}'])},
            },
            {
                "action": "aws:runShellScript",
                "name": WATCH,
                "precondition": on_linux,
                "inputs": {"timeoutSeconds": str(max(SECONDS) + BEYOND_SECONDS), "runCommand": script(options)},
            },
        ],
    }


def add_capture_document(scope: Construct, options: CaptureOptions, names: Names) -> aws_ssm.CfnDocument:
    """The document, in each Region of an account."""
    return aws_ssm.CfnDocument(
        scope,
        "CaptureDocument",
        name=names.capture_document,
        document_type="Command",
        document_format="JSON",
        target_type="/AWS::EC2::Instance",
        update_method="NewVersion",
        content=content(options),
        tags=[CfnTag(key=VERSION_TAG, value=VERSION)],
    )
