"""The self-test: what the service believes about AWS, tried in the user's own account."""
