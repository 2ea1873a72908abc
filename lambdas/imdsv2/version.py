"""The version of the service, and where it is stamped on what is deployed."""

VERSION = "0.8.0"
"""Semantic version. Everything else that has one reads it here: templates, logs, the ledger's events, CHANGELOG.md's newest entry."""
VERSION_TAG = "imdsv2-remediation:version"
"""Tag of the stacks, of the roles in the accounts and of the forwarding rule."""
