"""The way of a finding: look, gather evidence, decide, pass the gates, enforce, record, tell."""
