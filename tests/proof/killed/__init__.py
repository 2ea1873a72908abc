"""On the local AWS, where functions are processes: one is really killed, and others go on."""
