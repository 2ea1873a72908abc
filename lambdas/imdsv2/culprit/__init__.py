"""Which software calls IMDSv1: when it calls, what is known of agents and SDKs, and what traces say. Pure."""
