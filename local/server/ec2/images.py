"""AMIs that require tokens: `ImdsSupport` of registered images, which ministack does not know."""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local.server import platform as ms
from local.server.ec2.wire import Ec2Error, answer, item, one, refuse_dry_run

if TYPE_CHECKING:
    from local.server.platform import Ec2Action, Params, Response

_ID = re.compile(rb"<imageId>(ami-[0-9a-f]+)</imageId>")


def install() -> None:
    """Replace the actions in ministack's table."""
    modify, describe = ms.EC2_ACTIONS["ModifyImageAttribute"], ms.EC2_ACTIONS["DescribeImages"]
    ms.EC2_ACTIONS["ModifyImageAttribute"] = _modifying(modify)
    ms.EC2_ACTIONS["DescribeImages"] = _describing(describe)
    # ministack would boot a registered image as a container; instances here run no software.
    ms.ec2._registered_image = lambda _: None


def owner_of(image_id: str) -> str:
    """What IAM's key `ec2:Owner` says of an image: the account that has registered it, else Amazon."""
    image = ms.EC2_IMAGES.get(image_id)
    return str(image["OwnerId"]) if image else "amazon"


def _modifying(others: Ec2Action) -> Ec2Action:
    def modify(params: Params) -> Response:
        value = one(params, "ImdsSupport.Value")
        if value is None:
            return others(params)
        image = ms.EC2_IMAGES.get(one(params, "ImageId") or "")
        if image is None:
            raise Ec2Error("InvalidAMIID.NotFound", f"The image id '[{one(params, 'ImageId')}]' does not exist")
        if value != "v2.0":
            raise Ec2Error("InvalidParameterValue", f"Value ({value}) for parameter imdsSupport is invalid.")
        refuse_dry_run(params)
        image["ImdsSupport"] = value
        return answer("ModifyImageAttribute", item([("return", "true")]))

    return modify


def _describing(plain: Ec2Action) -> Ec2Action:
    def describe(params: Params) -> Response:
        status, headers, body = plain(params)
        return status, headers, _ID.sub(_with_support, body)

    return describe


def _with_support(found: re.Match[bytes]) -> bytes:
    image = ms.EC2_IMAGES.get(found[1].decode()) or {}
    return found[0] + item([("imdsSupport", image["ImdsSupport"])] if "ImdsSupport" in image else []).encode()
