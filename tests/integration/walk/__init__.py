"""A walk through whole lives of a few instances: faults laid over the world, and a judge who sees every change."""
