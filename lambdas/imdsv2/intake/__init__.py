"""What comes in: EventBridge events from the queue, as requests to the line."""
