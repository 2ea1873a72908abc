"""The instance metadata service, one for each instance."""
