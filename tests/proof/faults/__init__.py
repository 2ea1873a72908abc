"""The fault matrix: every call that the service makes, each way in which AWS can fail it, and what has to come of it."""
