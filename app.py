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
from infra.member_stack import MemberStack  # noqa: E402
from infra.service_stack import ServiceStack  # noqa: E402
from infra.settings import Settings  # noqa: E402


def main() -> None:
    """Synthesise both templates."""
    # The CLI hands the context over itself, with what `-c` overrides; without the CLI nobody else does.
    app = App(context=json.loads((ROOT / "cdk.json").read_text())["context"])
    settings = Settings.from_context(app.node.get_all_context())
    with tempfile.TemporaryDirectory() as asset:
        assemble(Path(asset))
        ServiceStack(app, "Imdsv2Remediation", settings=settings, asset=Path(asset))
        # In a stage of its own, so that `cdk deploy` without a name means the service.
        stage = Stage(app, "Member")
        member = MemberStack(stage, "Imdsv2RemediationMember")
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        app.synth()
    # A stage puts templates where nobody looks for them; this one is also deployed without the CDK.
    shutil.copyfile(Path(stage.outdir, member.template_file), Path(app.outdir, f"{member.stack_name}.template.json"))


if __name__ == "__main__":
    try:
        main()
    except SettingRefused as refusal:
        sys.exit(str(refusal))
