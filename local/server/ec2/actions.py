"""EC2's action table: replaces actions of ministack and turns exceptions into EC2's error answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.server import platform as ms
from local.server.ec2 import consoles as ec2_consoles
from local.server.ec2 import images as ec2_images
from local.server.ec2 import instances as ec2_instances
from local.server.ec2 import metadata as ec2_metadata
from local.server.ec2 import tags as ec2_tags
from local.server.ec2 import templates as ec2_templates
from local.server.ec2.wire import Ec2Error

if TYPE_CHECKING:
    from local.server.platform import Ec2Action, Params, Response


def install() -> None:
    """Replace the actions in ministack's table."""
    before = dict(ms.EC2_ACTIONS)
    for module in (ec2_instances, ec2_metadata, ec2_tags, ec2_templates, ec2_consoles, ec2_images):
        module.install()
    for name, action in ms.EC2_ACTIONS.items():
        if action is not before.get(name):
            ms.EC2_ACTIONS[name] = _answering(action)


def _answering(action: Ec2Action) -> Ec2Action:
    def act(params: Params) -> Response:
        try:
            return action(params)
        except Ec2Error as refusal:
            return refusal.response()

    return act
