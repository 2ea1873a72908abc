"""After enforcement: watch, recall of late breakage, rollback."""
