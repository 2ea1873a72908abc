"""Sources that the service changes itself: what it may change, the change, its way back, and whether both are in force."""
