"""Where instances come from: what launches them, and the exact change that makes it require tokens."""
