"""Who manages a group, a template or an instance: what changes it behind a person's back, or undoes what a person changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CLOUDFORMATION, TERRAFORM = "cloudformation", "terraform"

_MANAGER_KEYS = frozenset({"managedby", "provisioner", "provisionedby", "createdby", "iac", "iactool", "deployedby"})
_TERRAFORM = re.compile(
    r"(hashicorp[/ -]?)?(terraform|opentofu|tofu|terragrunt)\b.*", re.ASCII | re.IGNORECASE | re.DOTALL
)
_TERRAFORM_KEYS = re.compile(r"(terraform|tf)(module|workspace|state|stack|repo|project|root)?", re.ASCII)
_NO = frozenset({"", "false", "no", "0", "none"})
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]", re.ASCII)
_SERVICE_TEMPLATES = {
    "eks:nodegroup-name": "eks",
    "elasticbeanstalk:environment-name": "elastic beanstalk",
    "AWSBatchServiceTag": "batch",
}
"""Tags that a service puts on the templates and groups that it makes for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who manages a thing.

    Args:
        manager: ``cloudformation``, ``terraform``, or the name of an AWS service.
        stack: the CloudFormation stack, or "".
        logical_id: the logical id in that stack, or "".
    """

    manager: str
    stack: str = ""
    logical_id: str = ""

    @property
    def said(self) -> str:
        """The owner in words."""
        if self.manager == CLOUDFORMATION:
            return f"CloudFormation stack {self.stack}" + (f", logical id {self.logical_id}" if self.logical_id else "")
        return self.manager.capitalize() if self.manager == TERRAFORM else f"the AWS service {self.manager}"


def owner_of(tags: Mapping[str, str]) -> Owner | None:
    """The owner that tags name; None if they name none. A stack that a service made for itself belongs to the service."""
    for key, service in _SERVICE_TEMPLATES.items():
        if tags.get(key):
            return Owner(manager=service)
    if stack := tags.get("aws:cloudformation:stack-name"):
        return Owner(manager=CLOUDFORMATION, stack=stack, logical_id=tags.get("aws:cloudformation:logical-id", ""))
    return Owner(manager=TERRAFORM) if is_of_terraform(tags) else None


def is_of_terraform(tags: Mapping[str, str]) -> bool:
    """Whether tags that people usually set say that Terraform, OpenTofu or Terragrunt manages a thing. Terraform sets none itself."""
    for key, value in tags.items():
        plain = _NOT_ALPHANUMERIC.sub("", key.lower())
        if plain in _MANAGER_KEYS and _TERRAFORM.fullmatch(value.strip()):
            return True
        if _TERRAFORM_KEYS.fullmatch(plain) and value.strip().lower() not in _NO:
            return True
    return False
