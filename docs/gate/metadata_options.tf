# For the modules that your teams share: what they launch requires tokens, whatever a caller says.
variable "metadata_options" {
  description = "Metadata options of what is launched; the hop limit is 2 where containers use the instance role."
  type = object({
    http_tokens                 = optional(string, "required")
    http_endpoint               = optional(string, "enabled")
    http_put_response_hop_limit = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.metadata_options.http_tokens == "required"
    error_message = "Allows IMDSv1: leave http_tokens out, or set it to required."
  }

  validation {
    condition     = var.metadata_options.http_put_response_hop_limit <= 2
    error_message = "At most 2 hops: more lets whoever forwards traffic reach the instance role."
  }
}
