"""Who says what the service believes: pages of AWS's documentation, and traffic that others recorded."""

from __future__ import annotations

from imdsv2.selftest.belief import Source, Witness

_DOCS = "https://docs.aws.amazon.com"
METRICS = Witness(Source.DOCUMENTATION, f"{_DOCS}/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html")
TRANSITION = Witness(
    Source.DOCUMENTATION, f"{_DOCS}/AWSEC2/latest/UserGuide/instance-metadata-transition-to-version-2.html"
)
RETENTION = Witness(Source.DOCUMENTATION, f"{_DOCS}/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html")
LIST_METRICS = Witness(Source.DOCUMENTATION, f"{_DOCS}/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html")
ERRORS = Witness(Source.DOCUMENTATION, f"{_DOCS}/ec2/latest/devguide/errors-overview.html")
MODIFY = Witness(Source.DOCUMENTATION, f"{_DOCS}/AWSEC2/latest/APIReference/API_ModifyInstanceMetadataOptions.html")
LIFECYCLE = Witness(Source.DOCUMENTATION, f"{_DOCS}/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html")
KEYS = Witness(Source.DOCUMENTATION, f"{_DOCS}/service-authorization/latest/reference/list_amazonec2.html")
CONSISTENCY = Witness(Source.DOCUMENTATION, f"{_DOCS}/ec2/latest/devguide/eventual-consistency.html")
CONFIG = Witness(
    Source.DOCUMENTATION, f"{_DOCS}/config/latest/developerguide/monitor-config-with-cloudwatchevents.html"
)
HUB = Witness(Source.DOCUMENTATION, f"{_DOCS}/securityhub/latest/userguide/securityhub-cwe-event-formats.html")
HUB_V2 = Witness(Source.DOCUMENTATION, f"{_DOCS}/securityhub/latest/userguide/securityhub-v2-cwe-event-formats.html")
STACK_SETS = Witness(
    Source.DOCUMENTATION, f"{_DOCS}/AWSCloudFormation/latest/UserGuide/stacksets-orgs-activate-trusted-access.html"
)
REBOOT = Witness(Source.DOCUMENTATION, f"{_DOCS}/AWSEC2/latest/APIReference/API_RebootInstances.html")
RECORDED = Witness(Source.RECORDED, "github.com/radkawar/stackd, testdata/aws/ec2")
TRAIL = Witness(Source.DOCUMENTATION, f"{_DOCS}/awscloudtrail/latest/userguide/view-cloudtrail-events.html")
CREDENTIALS = Witness(
    Source.DOCUMENTATION, f"{_DOCS}/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html"
)
HUB_KEYS = Witness(Source.DOCUMENTATION, f"{_DOCS}/service-authorization/latest/reference/list_awssecurityhub.html")
NONE = Witness(Source.NONE)
