"""`python -m local up | down | env | fleet | account | demo`: what `make local-up`, `local-down`, `local-env`, `local-fleet`,
`local-account` and `demo` call."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from local.cloud.deploy import DeployError
from local.cloud.process import end_group, is_free
from local.cloud.run import HOME, RUN, SECURITY, LocalCloud, LocalCloudError
from local.cloud.variables import export_lines, of_outputs
from local.demo import newcomer
from local.demo import run as demo

if TYPE_CHECKING:
    from collections.abc import Callable

STATE: Final = RUN / "up.json"
USUAL_PORT: Final = 4566


def up() -> None:
    """Start the local AWS in the background and deploy the stack, unless it is already running."""
    if running := _running():
        _say(f"The local AWS is up at {running['endpoint']}.")
        return
    began = time.monotonic()
    cloud = LocalCloud(port=_port(), detached=True)
    cloud.start()
    _say(f"Started at {cloud.endpoint}, log in {cloud.log}. Deploying the stack ...")
    try:
        cloud.deploy()
    except BaseException:
        cloud.stop()
        raise
    state = {"pid": cloud.pid, "endpoint": cloud.endpoint, "scratch": str(cloud.scratch), "outputs": cloud.outputs}
    STATE.write_text(json.dumps(state, indent=2))
    _say(
        f'Ready after {time.monotonic() - began:.0f} s. In a shell: eval "$(make -s local-env)". There are no instances yet: '
        "make local-account launches the tutorial's five, make local-fleet one for every row of the verdict table."
    )


def down() -> None:
    """Stop the local AWS and everything that it started."""
    running = _running()
    if running:
        end_group(int(running["pid"]))
        shutil.rmtree(running["scratch"], ignore_errors=True)
    STATE.unlink(missing_ok=True)
    _say("The local AWS is down." if running else "The local AWS was not up.")


def env() -> None:
    """Print `export` lines that make a shell's AWS clients administrator of the security account, and name the stack's outputs."""
    running = _running()
    if not running:
        raise LocalCloudError("the local AWS is not up: run `make local-up` first")
    settings = {
        "AWS_ACCESS_KEY_ID": SECURITY,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": HOME,
        "AWS_DEFAULT_REGION": HOME,
        "AWS_ENDPOINT_URL": running["endpoint"],
    }
    for line in export_lines({**settings, **of_outputs(running["outputs"])}):
        sys.stdout.write(f"{line}\n")


def fleet() -> None:
    """Launch the demo's fleet on the local AWS that is up, and report it to the service."""
    number = len(demo.populate(_up()))
    _say(
        f"{number} instances are launched in accounts and Regions of the local AWS, and reported; the policy is in the mode enforce. "
        "Their verdicts come within a minute: imdsv2 assess"
    )


def account() -> None:
    """Launch the tutorial's instances on the local AWS that is up. Nothing reports them, and the policy stays as it is."""
    launched = newcomer.settle(_up())
    place = f"account {launched[0].machine.account}, {launched[0].machine.region}"
    _say(f"{len(launched)} instances are launched in {place}. The service has not seen them yet: imdsv2 sweep")


def _up() -> LocalCloud:
    running = _running()
    if not running:
        raise LocalCloudError("the local AWS is not up: run `make local-up` first")
    cloud = LocalCloud(port=urlsplit(running["endpoint"]).port)
    cloud.outputs = running["outputs"]
    return cloud


def _port() -> int | None:
    """The port in LOCAL_PORT, else the usual one, else None: any free port."""
    if asked := os.environ.get("LOCAL_PORT"):
        return int(asked)
    return USUAL_PORT if is_free(USUAL_PORT) else None


def _running() -> dict[str, Any] | None:
    """The state file's content if that local AWS is still running, else None."""
    if not STATE.exists():
        return None
    state: dict[str, Any] = json.loads(STATE.read_text())
    try:
        os.kill(state["pid"], 0)
    except ProcessLookupError:
        return None
    # Another process may have got the same number since; it does not listen there.
    return None if is_free(urlsplit(state["endpoint"]).port or 0) else state


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


COMMANDS: Final[dict[str, Callable[[], None]]] = {
    "up": up,
    "down": down,
    "env": env,
    "fleet": fleet,
    "account": account,
    "demo": demo.main,
}


def main() -> int:
    """Run the command named on the command line."""
    command = COMMANDS.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if command is None:
        _say(f"usage: python -m local {'|'.join(COMMANDS)}")
        return 2
    try:
        command()
    except (LocalCloudError, DeployError) as failure:
        _say(f"error: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
