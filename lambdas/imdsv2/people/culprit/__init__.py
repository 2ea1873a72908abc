"""Which software calls IMDSv1: the question, the look, and the answer."""
