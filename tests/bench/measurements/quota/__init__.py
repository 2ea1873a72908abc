"""How fast a whole organisation drains against AWS's quotas, simulated with the service's own pacing."""
