"""The command line `imdsv2`: what people do with the service, without writing payloads.

How a command is added:

1. Write `commands/<module>.py`. It defines one click command or group, made with `cls=Command` (or `Family` for a group, whose
   subcommands are made with `cls=Command`) from `imdsv2_cli.base`; this gives it `--output`, `--file`, `--profile`, `--region` and
   `--stack`. It takes the `App` with `@click.pass_obj`:

       @click.command(cls=Command)
       @click.option("--account", help="Only this account.")
       @click.pass_obj
       def breakers(app: App, account: str | None) -> Exit | None:
           '''Lists the circuit breakers that are open.

           What else the reader of `imdsv2 breakers --help` and docs/cli.md has to know.
           '''
           rows = ...  # app.client("dynamodb"), app.stack_output("LedgerTableName")
           show(app, {"breakers": rows}, Table((Column("account"), Column("opened_at", "since")), rows), empty="No breaker is open.")
           return None if rows else Exit.NOTHING

2. Add its line to `COMMANDS` in `commands/__init__.py`: name, module, attribute, section, summary. The summary is the first line of the
   docstring (a test compares them); it stands there so that `imdsv2 --help` imports no command.
3. Run `KEEP=1 .venv/bin/python -m pytest tests/docs/test_cli.py`: docs/cli.md is written from the code.
4. Test it in tests/cli with click's runner and stubbed clients (`tests/cli/conftest.py`), and in tests/e2e/test_cli*.py on the local AWS.

Rules that all commands keep:

- What is asked for goes to standard output through `show` and nowhere else: as a table, as JSON or as CSV. Everything else (progress,
  previews, questions, errors) goes to standard error through `note`.
- An error is a `Failure`: one line that says what failed, why, and what to do. Errors of AWS become one by themselves.
- The callback returns None for success, or an `Exit`. Nothing is changed before `confirm` has returned.
- botocore and rich are imported where they are used, never at the top of a module: `imdsv2 --help` takes less than 0.3 s.
"""
