"""docs/cli.md, written from the commands themselves."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from imdsv2_cli.base import common_options
from imdsv2_cli.commands import COMMANDS, SECTIONS
from imdsv2_cli.failure import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

INTRODUCTION = """# The command line

`imdsv2` does from a terminal what people do with the service: it looks, decides, settles, and runs the service. It finds the stack by its
outputs and talks to AWS with your ordinary credentials, those of the security account (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL`).
This page is written from the commands themselves.

```console
$ pip install .            # in a checkout; `make setup`, `make demo` and `make local-up` leave it at .venv/bin/imdsv2
$ imdsv2 policy show
$ imdsv2 assess --account 222222222222 --in-region eu-west-1 --plan plan.json
$ imdsv2 approve --plan plan.json --reason "Change 4711."
$ imdsv2 undo --account 222222222222 --since 2h
```

- **Instances** are named by ARN, by id or by the tag Name. `--account` and `--in-region` say where to look; without them, the service
  looks in every account and Region of which its ledger knows, and then in those in which the last sweep saw instances, if you may read its results. `-` reads names from standard input, one a line. A name that no instance
  bears is refused with the likely one, and a name that several bear with their ARNs.
- **Answers** go to standard output as a table, as JSON or as CSV (`--output`), or into a file (`--file`). In a pipe, each row of a
  table stands on one line, with every column; a narrow terminal leaves out what can be spared, and says so. Everything else goes to standard error. `NO_COLOR` is obeyed. Names and reasons that others wrote cannot
  change the terminal, and are no formulas in CSV. Tables and CSV show commands as they are typed; JSON has the service's own answer, with
  the payloads. A file is written whole or not at all, and whether it can be is asked before anything is done.
- **Scripts** read JSON: numbers are numbers, what is not known is `null`, times are UTC in ISO 8601, and the rows of `list`, `explain` and `audit` have every key always. An instance is `target`, its ARN, in every answer that names instances. What could not be looked at is told on standard error. A pipe gets every
  row of `imdsv2 list`, of which a terminal shows a hundred. Look at the exit code before you go on: an empty answer ends with 0, a change that was not made with 3.
- **What changes anything** shows first what it will do, as the service itself answers, and asks for a typed `yes`. `--yes` answers
  before the question, `--dry-run` only shows. What nobody can undo (`images --require`) wants these very words instead. Where nobody can be asked, it ends without a change. The ledger keeps the ARN of your
  credentials as the name of the caller.
- **Times** are written as `2027-05-01T06:00:00Z` (UTC where no zone is given), as a day, as `now`, or as a span: `90m`, `2h`, `30d`, `2w`. As
  `--until`, a day is meant with all its hours.

## Exit codes
"""

RIGHTS = """## Rights

In the security account, `imdsv2` needs `cloudformation:DescribeStacks` on the stack, `lambda:InvokeFunction` on the manual function, and
`sts:GetCallerIdentity`; and for single commands:

| command | also needs |
| --- | --- |
| `policy`, `exempt` | `ssm:GetParameter`, `ssm:DescribeParameters`; `policy set`: `ssm:PutParameter` on the policy's parameter |
| `policy check` | `dynamodb:Query` on the ledger's index `due`, `dynamodb:BatchGetItem` on the ledger, and the use of its key |
| `status`, `list`, `explain`, `report`, `audit` | to read the ledger, the file of the fleet and the policy: [the list](fleet.md#what-the-caller-may-do); `audit` names who changed the policy if `cloudtrail:LookupEvents` is allowed, too |
| names of instances, and a choice by account, Region or tag | `s3:GetObject` and `s3:ListBucket` on the bucket of the sweep; without them, only places are searched in which the ledger knows instances |
| `--cohort` by what follows the Region in its key | `s3:GetObject` and `s3:ListBucket` on the bucket of the sweep; `dynamodb:Query` and `dynamodb:BatchGetItem` on the ledger, and the use of its key |
| `sweep`, `selftest` | `states:StartExecution`, `states:DescribeExecution`, `states:ListMapRuns`, `states:DescribeMapRun`; `s3:GetObject` on the results |
| `exempt` | `ec2:CreateTags` and `ec2:DeleteTags` in the account of the instance, by your own role or profile there |
| `doctor` | reading rights (e.g. AWS's policy `SecurityAudit`), `states:ListExecutions` and `states:DescribeExecution`, and `lambda:InvokeFunction` on the function `check` |

To let somebody only look, allow no `lambda:InvokeFunction`: a dry run and a real command are the same call. What was done is in the
ledger with the id of its request, by which CloudTrail names who truly asked.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    yield "| code | meaning |"
    yield "| --- | --- |"
    yield from (f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
    yield "| 130 | stopped by Ctrl-C; what was started in AWS goes on |"
    yield ""
    yield "## Options of every command"
    yield ""
    yield from _options(common_options())
    for section in SECTIONS:
        named = [name for name, entry in COMMANDS.items() if entry.section == section]
        if not named:
            continue
        yield f"## {section}"
        yield ""
        for name in named:
            yield from _command(name, load(name))
    yield RIGHTS.rstrip()


def load(name: str) -> click.Command:
    """A command by its name."""
    entry = COMMANDS[name]
    command: click.Command = getattr(import_module(f"imdsv2_cli.commands.{entry.module}"), entry.attribute)
    return command


def _command(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"imdsv2 {path}")
    yield f"### imdsv2 {path}"
    yield ""
    yield f"`{context.command_path} {' '.join(command.collect_usage_pieces(context))}`"
    yield ""
    paragraphs = (command.help or "").split("\n\n")
    for paragraph in paragraphs:
        yield " ".join(paragraph.split())
        yield ""
    common = {name for each in common_options() for name in each.opts}
    own = [each for each in command.params if isinstance(each, click.Option) and not common & {*each.opts}]
    if own:
        yield from _options(own)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(f"{path} {name}", command.commands[name])


def _options(options: list[click.Option]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "| --- | --- |"
    for each in options:
        names = ", ".join([*each.opts, *each.secondary_opts])
        takes = "" if each.is_flag else f" {each.make_metavar(click.Context(click.Command('x')))}"
        needed = " Required." if each.required else ""
        yield f"| `{names}{takes}`".replace("|", "\\|").replace("\\| `", "| `", 1) + f" | {each.help}{needed} |"
    yield ""
