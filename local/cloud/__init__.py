"""The local AWS seen from outside: start it, deploy to it, talk to it, steer it, end it."""
