"""Read settings, write templates: `CDK_OUTDIR=cdk.out python app.py`, or `npx cdk synth`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_cdk import App, Stage, Validations
from cdk_nag import AwsSolutionsChecks

ROOT = Path(__file__).parent
sys.path.append(str(ROOT / "lambdas"))  # The policy in the settings is checked by the code that will read it.

from infra import bytecode  # noqa: E402
from infra.asset import assemble  # noqa: E402
from infra.context_file import HANDED_OVER, handed_over, settings_in  # noqa: E402
from infra.errors import ContextUnreadable, PackagesUnfit, SettingRefused  # noqa: E402
from infra.exceptions import accept  # noqa: E402
from infra.forwarding_stack import ForwardingStack  # noqa: E402
from infra.guardrails.stack import GuardrailStack  # noqa: E402
from infra.member_stack import MemberStack  # noqa: E402
from infra.roll_out import MemberTemplates  # noqa: E402
from infra.service_stack import ServiceStack  # noqa: E402
from infra.settings import Settings  # noqa: E402

if TYPE_CHECKING:
    from infra.names import Names


def main() -> None:
    """Synthesise the templates of the service and of its members."""
    context = settings_context()
    app = App(context=context)
    settings = Settings.from_context(context, region=os.environ.get("CDK_DEFAULT_REGION"))
    _tell_namesake(settings.names)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    # In a stage of its own, so that `cdk deploy` without a name deploys only the service.
    stage = Stage(app, "Member")
    members = (MemberStack(stage, settings=settings), ForwardingStack(stage, settings=settings))
    guardrails = (GuardrailStack(stage, settings=settings),) if settings.guardrails.targets else ()
    accept(stage, settings.names)
    stage.synth()
    # A stage writes templates into a subdirectory; these are also deployed without the CDK, so they move up.
    for member in (*members, *guardrails):
        shutil.copyfile(
            Path(stage.outdir, member.template_file), Path(app.outdir, f"{member.stack_name}.template.json")
        )
    roles, forwarding = (Path(stage.outdir, member.template_file).read_text() for member in members)
    with tempfile.TemporaryDirectory() as asset:
        python = bytecode.interpreter()
        if python is None:
            sys.stderr.write(f"{bytecode.NOT_COMPILED}\n")
        assemble(Path(asset), python)
        templates = MemberTemplates(roles=roles, forwarding=forwarding)
        ServiceStack(
            app, settings.names.service_stack, settings=settings, asset=Path(asset), member_templates=templates
        )
        accept(app, settings.names)
        app.synth()


def _tell_namesake(names: Names) -> None:
    """Two installations whose stacks have one name cannot be in one account: the second would take the place of the first."""
    if names.namesake is not None:
        sys.stderr.write(
            f"name_prefix {names.prefix} and name_prefix {names.namesake} both make the stack {names.service_stack}: keep installations of "
            f"these names in accounts of their own, or call a new one otherwise, e.g. {names.namesake}-next.\n"
        )


def settings_context() -> dict[str, Any]:
    """Return the settings in cdk.json, merged with those that the CLI passes (`-c` included).

    Without the CLI, cdk.json is read directly. The App's own context is not used: it drops every null, and with it the
    setting. Raises ContextUnreadable.
    """
    return {**settings_in(ROOT / "cdk.json"), **handed_over(os.environ.get(HANDED_OVER))}


if __name__ == "__main__":
    try:
        main()
    except (ContextUnreadable, PackagesUnfit, SettingRefused) as refusal:
        sys.exit(str(refusal))
