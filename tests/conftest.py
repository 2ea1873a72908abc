"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A generated example may take as long as it needs: a busy machine is no reason to fail.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
