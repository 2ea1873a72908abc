"""The pipeline from a request to a recorded verdict: look, gather, decide, gates, enforce, record, notify."""
