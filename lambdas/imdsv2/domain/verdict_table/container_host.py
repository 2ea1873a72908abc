"""Container hosts, as far as tags tell: there, the hop limit of the metadata service may be what makes software use IMDSv1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAGS = frozenset(
    {
        # ECS and Batch
        "AmazonECSManaged",
        "AWSBatchServiceTag",
        "aws:batch:compute-environment",
        "aws:ecs:clusterName",
        # EKS: clusters, managed node groups, Auto Mode
        "eks:cluster-name",
        "eks:eks-cluster-name",
        "eks:nodegroup-name",
        "eks:kubernetes-node-class-name",
        "eks:kubernetes-node-pool-name",
        "aws:eks:cluster-name",
        "aws:eks:nodegroup-name",
        "alpha.eksctl.io/cluster-name",
        "alpha.eksctl.io/nodegroup-name",
        # Karpenter, before and since its version 0.32
        "karpenter.sh/provisioner-name",
        "karpenter.sh/nodepool",
        "karpenter.sh/nodeclaim",
        "karpenter.k8s.aws/ec2nodeclass",
        # Kubernetes of one's own: kops and the cloud provider before 1.6
        "KubernetesCluster",
        # Beanstalk, whose platforms with Docker are told from the others by nothing
        "elasticbeanstalk:environment-id",
        "elasticbeanstalk:environment-name",
    }
)
_PREFIXES = (
    "kubernetes.io/cluster/",
    "k8s.io/cluster-autoscaler/",
    "k8s.io/cluster/",
    "k8s.io/role/",
    "kops.k8s.io/",
    "eksctl.cluster.k8s.io/",
    "sigs.k8s.io/cluster-api-provider-aws/",
)
"""Kubernetes itself, its autoscaler, kops, eksctl and the Cluster API put a name behind these."""

_BATCH_GROUPS = "AWSBatch-"
"""AWS Batch names the Auto Scaling groups of its compute environments so, and may put no tag of its own on their instances."""


def is_container_host(tags: Mapping[str, str]) -> bool:
    """Whether a tag that AWS, Kubernetes or one of its tools sets says that containers run on it, or may. Many such hosts have none."""
    in_batch = tags.get("aws:autoscaling:groupName", "").startswith(_BATCH_GROUPS)
    return in_batch or any(key in _TAGS or key.startswith(_PREFIXES) for key in tags)
