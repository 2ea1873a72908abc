"""What becomes due without an event: where the policy has changed, or the change calendar."""
