"""`python -m infra.guardrails`: the guardrails as JSON, for those who keep their policies elsewhere.

Prints one object, guardrail to policy document; with the name of one guardrail, only its document. The settings are those
of cdk.json, and those that `-c` gives, as for the command line of the CDK: the policies except the roles of one installation, by their names.
`--partition` is `aws` unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "lambdas"))  # The policy in the settings is checked by the code that will read it.

from infra.context_file import settings_in  # noqa: E402
from infra.errors import ContextUnreadable, SettingRefused  # noqa: E402
from infra.guardrails.policies import Guardrail, document  # noqa: E402
from infra.settings import Settings  # noqa: E402


def main(arguments: list[str]) -> str:
    """The text to print."""
    parser = argparse.ArgumentParser(prog="python -m infra.guardrails", description="The guardrails as JSON.")
    parser.add_argument("guardrail", nargs="?", choices=[each.value for each in Guardrail])
    parser.add_argument("--partition", default="aws", choices=["aws", "aws-cn", "aws-us-gov", "aws-eusc"])
    parser.add_argument("-c", "--context", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    asked = parser.parse_args(arguments)
    given = dict(each.partition("=")[::2] for each in asked.context)
    settings = Settings.from_context({**settings_in(ROOT / "cdk.json"), **given})
    made = {
        each.value: document(each, options=settings.guardrails, names=settings.names, partition=asked.partition)
        for each in Guardrail
    }
    return json.dumps(made if asked.guardrail is None else made[asked.guardrail], indent=2)


if __name__ == "__main__":
    try:
        sys.stdout.write(main(sys.argv[1:]) + "\n")
    except (ContextUnreadable, SettingRefused) as refusal:
        sys.exit(str(refusal))
