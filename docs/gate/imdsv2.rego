# Refuses what would launch instances that allow IMDSv1. For Conftest, or OPA itself (`data.main.deny`).
# Input: a CloudFormation template, a plan of Terraform (`terraform show -json`), or a Karpenter EC2NodeClass.
package main

import rego.v1

# CloudFormation. What is computed (Ref, Fn::If) counts as open: state it literally.
launch_resources := {
	"AWS::EC2::LaunchTemplate": "LaunchTemplateData.MetadataOptions.HttpTokens",
	"AWS::EC2::Instance": "MetadataOptions.HttpTokens",
	"AWS::AutoScaling::LaunchConfiguration": "MetadataOptions.HttpTokens",
}

deny contains msg if {
	some name, resource in input.Resources
	path := launch_resources[resource.Type]
	not from_template(resource)
	object.get(object.get(resource, "Properties", {}), split(path, "."), "") != "required"
	msg := sprintf("%s (%s) allows IMDSv1: set %s to required", [name, resource.Type, path])
}

# An instance with a launch template and no options of its own has those of the template.
from_template(resource) if {
	resource.Type == "AWS::EC2::Instance"
	resource.Properties.LaunchTemplate
	not resource.Properties.MetadataOptions
}

# Terraform.
launch_types := {"aws_instance", "aws_launch_template", "aws_launch_configuration", "aws_spot_instance_request"}

deny contains msg if {
	some change in input.resource_changes
	launch_types[change.type]
	change.change.after != null
	not planned_from_template(change)
	not requires_tokens(change.change.after)
	msg := sprintf("%s allows IMDSv1: set metadata_options.http_tokens to required", [change.address])
}

requires_tokens(after) if {
	some options in after.metadata_options
	options.http_tokens == "required"
}

planned_from_template(change) if {
	change.type == "aws_instance"
	count(change.change.after.launch_template) > 0
	count(object.get(change.change.after, "metadata_options", [])) == 0
}

# Karpenter: without a word, version 1 requires tokens.
deny contains msg if {
	input.kind == "EC2NodeClass"
	object.get(input, ["spec", "metadataOptions", "httpTokens"], "required") != "required"
	msg := sprintf("EC2NodeClass %s allows IMDSv1: set spec.metadataOptions.httpTokens to required", [input.metadata.name])
}
