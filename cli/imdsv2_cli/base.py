"""What all commands share: the options that every one takes, and the installation that they talk to."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imdsv2_cli.failure import Failure, nearest, usage
from imdsv2_cli.files import refuse_unwritable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STACK = "Imdsv2Remediation"
FORMATS = ("table", "json", "csv")
_BY_SUFFIX = {".json": "json", ".csv": "csv"}

LONGEST_ANSWER_SECONDS = 910
"""The functions that people invoke may take 15 minutes."""


@dataclass
class App:
    """The installation that a command talks to, and how it answers. Clients are made when they are needed.

    ``output``: one of FORMATS; without `--output`, what the file's name says, else a table.
    """

    profile: str | None = None
    region: str | None = None
    stack: str = STACK
    asked_output: str | None = None
    file: Path | None = None
    _clients: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        by_name = _BY_SUFFIX.get(self.file.suffix.lower(), "table") if self.file else "table"
        return self.asked_output or by_name

    @cached_property
    def session(self) -> Any:
        """The caller's own session. Raises Failure without a Region."""
        from imdsv2_cli.aws import session_of

        # botocore itself knows only AWS_DEFAULT_REGION.
        session = session_of(self.profile, self.region or os.environ.get("AWS_REGION"))
        if not session.get_config_variable("region"):
            raise usage("no Region is set", todo="name that of the stack with --region or AWS_REGION")
        return session

    @property
    def home(self) -> str:
        """The Region in which the stack is looked for. Raises Failure if none is set."""
        return str(self.session.get_config_variable("region"))

    def client(self, service: str, region: str | None = None) -> Any:
        """A client of the caller's, in the stack's Region unless another is named."""
        if (service, region) not in self._clients:
            self._clients[service, region] = self.session.create_client(service, region_name=region)
        return self._clients[service, region]

    @cached_property
    def patient_lambda(self) -> Any:
        """A client that waits for a function's answer and never asks twice: a repeated command would be carried out twice."""
        from botocore.config import Config

        return self.session.create_client(
            "lambda",
            config=Config(
                read_timeout=LONGEST_ANSWER_SECONDS,
                connect_timeout=10,
                tcp_keepalive=True,
                retries={"total_max_attempts": 1},
            ),
        )

    @cached_property
    def caller(self) -> str:
        """Who asks, by STS: what the ledger keeps as the claimed name."""
        return str(self.client("sts").get_caller_identity()["Arn"])[:256]

    @cached_property
    def account(self) -> str:
        """The account of the caller's credentials."""
        return str(self.client("sts").get_caller_identity()["Account"])

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of the stack. Raises Failure if there is none of that name."""
        from imdsv2_cli.aws import stack_outputs

        return stack_outputs(self)

    @property
    def known_outputs(self) -> Mapping[str, str]:
        """The outputs as far as they were asked for; it asks nothing, so that a failure can be explained."""
        known: Mapping[str, str] = self.__dict__.get("outputs", {})
        return known

    def stack_output(self, name: str) -> str:
        """One output of the stack. Raises Failure if the deployed version has none of that name."""
        if name not in self.outputs:
            raise Failure(
                f"the stack {self.stack} has no output {name}",
                "it is of another version than this command line",
                "deploy this version, or install the command line of that one",
            )
        return self.outputs[name]

    @property
    def prefix(self) -> str:
        """What the names of the installation begin with, e.g. `imdsv2-remediation`."""
        return self.stack_output("ManualFunctionName").removesuffix("-manual")


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            setattr(context.ensure_object(App), name, value)

    return keep


def writable(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """The file of an option, if it can be written. Raises Failure."""
    if value is not None:
        refuse_unwritable(value)
    return value


def _keep_file(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    _keep("file")(context, parameter, writable(context, parameter, value))


def common_options() -> list[click.Option]:
    """The options that every command takes, before its name or after it."""
    return [
        click.Option(
            ["--output", "-o"],
            type=click.Choice(FORMATS),
            expose_value=False,
            callback=_keep("asked_output"),
            help="How to answer: table (default), json or csv.",
        ),
        click.Option(
            ["--file"],
            type=click.Path(dir_okay=False, path_type=Path),
            expose_value=False,
            callback=_keep_file,
            help="Write the answer to this file; a name that ends with .json or .csv chooses the format.",
        ),
        click.Option(
            ["--profile"],
            metavar="NAME",
            expose_value=False,
            callback=_keep("profile"),
            help="Profile of your AWS configuration; otherwise AWS_PROFILE.",
        ),
        click.Option(
            ["--region"],
            metavar="REGION",
            expose_value=False,
            callback=_keep("region"),
            help="Region of the stack; otherwise AWS_REGION or that of the profile.",
        ),
        click.Option(
            ["--stack"],
            metavar="NAME",
            envvar="IMDSV2_STACK",
            expose_value=False,
            callback=_keep("stack"),
            help=f"Name of the service's stack; {STACK} by default, or IMDSV2_STACK.",
        ),
    ]


class Command(click.Command):
    """A command with the common options, and without click's own way to end the process."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += common_options()


class Family(click.Group):
    """A group of commands; a mistyped name is refused with the nearest right one."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            hint = nearest(args[0], self.list_commands(ctx)).capitalize()
            ctx.fail(f"There is no command '{args[0][:60]}'. {hint}")
        return super().resolve_command(ctx, args)
