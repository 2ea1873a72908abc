"""Settings in, templates out: `CDK_OUTDIR=cdk.out python app.py`, or `npx cdk synth`."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from aws_cdk import App, Stage, Validations
from cdk_nag import AwsSolutionsChecks

ROOT = Path(__file__).parent
sys.path.append(str(ROOT / "lambdas"))  # The policy in the settings is checked by the code that will read it.

from infra.asset import assemble  # noqa: E402
from infra.errors import SettingRefused  # noqa: E402
from infra.forwarding_stack import ForwardingStack  # noqa: E402
from infra.member_stack import MemberStack  # noqa: E402
from infra.roll_out import MemberTemplates  # noqa: E402
from infra.service_stack import ServiceStack  # noqa: E402
from infra.settings import Settings  # noqa: E402


def main() -> None:
    """Synthesise the templates of the service and of its members."""
    # The CLI hands the context over itself, with what `-c` overrides; without the CLI nobody else does.
    app = App(context=json.loads((ROOT / "cdk.json").read_text())["context"])
    settings = Settings.from_context(app.node.get_all_context())
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    # In a stage of its own, so that `cdk deploy` without a name means the service.
    stage = Stage(app, "Member")
    members = (MemberStack(stage), ForwardingStack(stage))
    stage.synth()
    # A stage puts templates where nobody looks for them; these are also deployed without the CDK.
    for member in members:
        shutil.copyfile(
            Path(stage.outdir, member.template_file), Path(app.outdir, f"{member.stack_name}.template.json")
        )
    roles, forwarding = (Path(stage.outdir, member.template_file).read_text() for member in members)
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset))
        templates = MemberTemplates(roles=roles, forwarding=forwarding)
        ServiceStack(app, "Imdsv2Remediation", settings=settings, asset=Path(asset), member_templates=templates)
        app.synth()


if __name__ == "__main__":
    try:
        main()
    except SettingRefused as refusal:
        sys.exit(str(refusal))
