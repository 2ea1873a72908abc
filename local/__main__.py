"""`python -m local up | down | env | demo`: what `make local-up`, `local-down`, `local-env` and `demo` call."""

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
from local.demo import run as demo

if TYPE_CHECKING:
    from collections.abc import Callable

STATE: Final = RUN / "up.json"
USUAL_PORT: Final = 4566


def up() -> None:
    """Start the local AWS in the background with the stack deployed, unless it is up."""
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
    _say(f'Ready after {time.monotonic() - began:.0f} s. In a shell: eval "$(make -s local-env)"')


def down() -> None:
    """End the local AWS and all that it started."""
    running = _running()
    if running:
        end_group(int(running["pid"]))
        shutil.rmtree(running["scratch"], ignore_errors=True)
    STATE.unlink(missing_ok=True)
    _say("The local AWS is down." if running else "The local AWS was not up.")


def env() -> None:
    """Print the `export` lines of an administrator of the security account."""
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
    for name, value in settings.items():
        sys.stdout.write(f"export {name}={value}\n")


def _port() -> int | None:
    """The port asked for, else the usual one, else (None) any that is free."""
    if asked := os.environ.get("LOCAL_PORT"):
        return int(asked)
    return USUAL_PORT if is_free(USUAL_PORT) else None


def _running() -> dict[str, Any] | None:
    """The state file of a local AWS that lives."""
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


COMMANDS: Final[dict[str, Callable[[], None]]] = {"up": up, "down": down, "env": env, "demo": demo.main}


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
