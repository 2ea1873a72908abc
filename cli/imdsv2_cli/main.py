"""The entry point: finds the command, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from imdsv2.version import VERSION
from imdsv2_cli.base import App, Family, common_options
from imdsv2_cli.clean import for_terminal
from imdsv2_cli.commands import COMMANDS, SECTIONS
from imdsv2_cli.failure import Exit, Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130
"""What shells say of a program that Ctrl-C ended."""


class Root(Family):
    """The command `imdsv2`. Commands are imported when they are called; help is drawn from their summaries."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click hands it in
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"imdsv2_cli.commands.{entry.module}"), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in SECTIONS:
            rows = [(name, entry.summary) for name, entry in COMMANDS.items() if entry.section == section]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; with ``standalone_mode``, end the process with its exit code."""
        code = self._run(args, prog_name or "imdsv2", complete_var, **extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, args: Sequence[str] | None, prog_name: str, complete_var: str | None, **extra: Any) -> int:
        app = App()
        try:
            ended = super().main(args, prog_name, complete_var, standalone_mode=False, obj=app, **extra)
            sys.stdout.flush()
        except click.UsageError as error:
            if error.ctx is not None and error.message == error.ctx.get_help():  # Nothing was named: all that could be.
                click.echo(error.message, err=True)
                return Exit.USAGE
            _say(error.ctx.command_path if error.ctx else prog_name, _with_help(error))
            return Exit.USAGE
        except click.ClickException as error:
            _say(prog_name, error.format_message())
            return error.code if isinstance(error, Failure) else Exit.FAILED
        except (click.Abort, KeyboardInterrupt):
            _say(prog_name, "stopped; what AWS was already asked to do goes on, the rest is left undone.")
            return _INTERRUPTED
        except BrokenPipeError:
            _give_up_output()  # Whoever read it has enough.
            return Exit.DONE
        except Exception as error:
            failure = _explained(error) or _unwritten(error) or _not_understood(error, app)
            if failure is None or os.environ.get("IMDSV2_TRACE"):
                raise
            _say(prog_name, failure.format_message())
            return failure.code
        return int(ended) if isinstance(ended, int) else Exit.DONE


def _explained(error: Exception) -> Failure | None:
    """The failure that an error of AWS means; None for a bug, whose trace is worth more than a sentence."""
    if "botocore" not in sys.modules:
        return None
    from imdsv2_cli.aws import explain

    return explain(error)


def _not_understood(error: Exception, app: App) -> Failure | None:
    """The failure of an answer that has another form than this version knows; None for a bug of this version."""
    if "imdsv2_cli.aws" not in sys.modules or not isinstance(error, LookupError | TypeError):
        return None
    from imdsv2_cli.aws import other_version

    todo = other_version(app)
    return (
        Failure("the answer of the service is not understood", f"{type(error).__name__}: {error}", todo)
        if todo
        else None
    )


def _unwritten(error: Exception) -> Failure | None:
    """The failure of an answer for which the disk behind standard output has no room; None for any other error."""
    if not (isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO}):
        return None
    _give_up_output()
    return Failure("the answer was not written", error.strerror or str(error), "free some room, and ask again")


def _give_up_output() -> None:
    """Python would complain once more when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(path: str, text: str) -> None:
    click.echo(for_terminal(f"{path}: {text}"), err=True)


def _with_help(error: click.UsageError) -> str:
    text = error.format_message().rstrip()
    path = error.ctx.command_path if error.ctx else "imdsv2"
    return f"{text if text.endswith(('.', '?')) else f'{text}.'} See '{path} --help'."


@click.group(
    "imdsv2",
    cls=Root,
    params=common_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do or refused by a gate, 130 stopped by Ctrl-C.",
)
@click.version_option(VERSION, prog_name="imdsv2", message="%(prog)s %(version)s")
def root() -> None:
    """Requires IMDSv2 on EC2 instances, only where the evidence proves that nothing needs IMDSv1."""


def main() -> None:
    """The program `imdsv2`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # The caller has closed it.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character of somebody's name shows a question mark.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = root.main(standalone_mode=False)
    if code == _INTERRUPTED:
        # Threads that wait for an answer of AWS would keep the process for as long as a function may take.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
