"""Who manages a group, a template or an instance: what changes it behind a person's back, or undoes what a person changes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.launching import Template

CLOUDFORMATION, TERRAFORM, KARPENTER, EKSCTL = "cloudformation", "terraform", "karpenter", "eksctl"

_MANAGER_KEYS = frozenset({"managedby", "provisioner", "provisionedby", "createdby", "iac", "iactool", "deployedby"})
_TERRAFORM = re.compile(
    r"(hashicorp[/ -]?)?(terraform|opentofu|tofu|terragrunt)\b.*", re.ASCII | re.IGNORECASE | re.DOTALL
)
_TERRAFORM_KEYS = re.compile(r"(terraform|tf)(module|workspace|state|stack|repo|project|root)?", re.ASCII)
_TOOLS = {
    "pulumi": "Pulumi",
    "kops": "kOps",
    "crossplane": "Crossplane",
    "cluster-api": "the Cluster API",
    "ack": "AWS Controllers for Kubernetes",
    KARPENTER: "Karpenter",
    EKSCTL: "eksctl",
}
"""Other tools that make launch templates and groups, and undo what somebody else changes of them."""
_TOOL_KEYS = re.compile(
    r"(?P<pulumi>pulumi(?::(?:project|stack|organization))?)|(?P<kops>kops\.k8s\.io/.*)|(?P<crossplane>crossplane-(?:kind|name|providerconfig))"
    r"|(?P<cluster_api>sigs\.k8s\.io/cluster-api-provider-aws/.*)|(?P<ack>services\.k8s\.aws/.*)|(?P<karpenter>karpenter\.k8s\.aws/cluster)",
    re.ASCII | re.IGNORECASE,
)
_NO = frozenset({"", "false", "no", "0", "none"})
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]", re.ASCII)
_EKSCTL_STACK = re.compile(r"eksctl-.+-nodegroup-.+", re.ASCII)
"""eksctl makes a stack for each node group."""
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
        manager: ``cloudformation``, ``terraform``, one of `_TOOLS`, or the name of an AWS service.
        stack: the CloudFormation stack, or "".
        logical_id: the logical id in that stack, or "".
    """

    manager: str
    stack: str = ""
    logical_id: str = ""

    @property
    def made_it(self) -> bool:
        """Whether it made the thing for itself, and alone may change it: a service, or Karpenter, by a setting of its own."""
        return self.manager not in {CLOUDFORMATION, TERRAFORM, *_TOOLS} or self.manager == KARPENTER

    @property
    def said(self) -> str:
        """The owner in words."""
        if self.manager == CLOUDFORMATION:
            return f"CloudFormation stack {self.stack}" + (f", logical id {self.logical_id}" if self.logical_id else "")
        if self.manager in _TOOLS:
            return _TOOLS[self.manager]
        return self.manager.capitalize() if self.manager == TERRAFORM else f"the AWS service {self.manager}"


def owner_of(tags: Mapping[str, str]) -> Owner | None:
    """The owner that tags name; None if they name none. A stack that a service made for itself belongs to the service."""
    for key, service in _SERVICE_TEMPLATES.items():
        if tags.get(key):
            return Owner(manager=service)
    if stack := tags.get("aws:cloudformation:stack-name"):
        manager = EKSCTL if _EKSCTL_STACK.fullmatch(stack) else CLOUDFORMATION
        return Owner(manager=manager, stack=stack, logical_id=tags.get("aws:cloudformation:logical-id", ""))
    if is_of_terraform(tags):
        return Owner(manager=TERRAFORM)
    tool = _tool_of(tags)
    return Owner(manager=tool) if tool is not None else None


def owner_of_template(template: Template) -> Owner | None:
    """The owner of a launch template: the service that EC2 says manages it, else by its tags."""
    return Owner(manager=template.managed_by) if template.managed_by else owner_of(template.tags)


def _tool_of(tags: Mapping[str, str]) -> str | None:
    """Another tool that says by its own tags, or by those that people usually set, that it manages a thing."""
    for key, value in tags.items():
        if (own := _TOOL_KEYS.fullmatch(key)) is not None:
            return str(own.lastgroup).replace("_", "-")
        named = value.strip().lower()
        if _NOT_ALPHANUMERIC.sub("", key.lower()) in _MANAGER_KEYS and named in _TOOLS:
            return named
    return None


def is_of_terraform(tags: Mapping[str, str]) -> bool:
    """Whether tags that people usually set say that Terraform, OpenTofu or Terragrunt manages a thing. Terraform sets none itself."""
    for key, value in tags.items():
        plain = _NOT_ALPHANUMERIC.sub("", key.lower())
        if plain in _MANAGER_KEYS and _TERRAFORM.fullmatch(value.strip()):
            return True
        if _TERRAFORM_KEYS.fullmatch(plain) and value.strip().lower() not in _NO:
            return True
    return False
