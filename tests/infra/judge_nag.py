"""Synthesises the app for cdk-nag's AwsSolutions and NIST 800-53 R5; `bare` leaves out every exception.

    CDK_OUTDIR=... python tests/infra/judge_nag.py [bare]

The findings are in the assembly's `validation-report.json`.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks

import app


class BothPacks(AwsSolutionsChecks):
    """The pack of the app, and beside it the other."""

    def __init__(self, scope: App) -> None:
        super().__init__(scope)
        Validations.of(scope).add_plugins(NIST80053R5Checks(scope))


if __name__ == "__main__":
    vars(app)["AwsSolutionsChecks"] = BothPacks
    if "bare" in sys.argv:
        vars(app)["accept"] = lambda *_: None
    with suppress(RuntimeError):  # That there are findings.
        app.main()
