"""The server side of the local AWS: ministack, and the few things that it lacks.

Runs in an environment of its own (`.venv-local`), because ministack pins botocore. Nothing outside `local/server` imports this package.
"""
