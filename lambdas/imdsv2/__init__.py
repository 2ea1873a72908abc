"""The service: a finding comes in, the evidence is read, and IMDSv1 goes off where nothing needs it."""
