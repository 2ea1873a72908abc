"""What only a real connection can do to a call: between the functions' processes and the local AWS stands a proxy that misbehaves."""
