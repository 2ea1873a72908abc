"""Policies of an organisation that keep IMDSv1 from coming back, for this installation's own names."""
