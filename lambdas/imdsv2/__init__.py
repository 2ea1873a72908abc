"""The service: evaluates reported instances and requires IMDSv2 where the evidence shows that nothing needs IMDSv1."""

import gc

# Importing modules and service models creates a hundred thousand objects that stay. At the default threshold of 700, garbage collection takes
# a seventh of a cold start and finds nothing. At this one no start reaches it, and there are never more objects than that to look through.
gc.set_threshold(100_000)
