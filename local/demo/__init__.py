"""The main job, shown: a fleet with a past, findings, and the verdicts as a table."""
