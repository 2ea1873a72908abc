"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import settings

# A generated example may take as long as it needs: a busy machine is no reason to fail. The tests try the same examples each
# time, so that the same code passes twice; the long proofs draw new ones.
settings.register_profile("same examples", deadline=None, derandomize=True)
settings.register_profile("new examples", deadline=None, print_blob=True)
settings.load_profile("new examples" if os.environ.get("PROOF") == "long" else "same examples")
