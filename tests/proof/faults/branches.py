"""Runs all rows of a path in copies of the process.

The step goes on once without faults. At each call, each row of that call is run by a copy of the process, which meets the fault and goes
on to the end: what comes before the call, half of the work, is done once for all rows. `run` of matrix.py does the same from the beginning.
"""

from __future__ import annotations

import gc
import os
import pickle
from collections import defaultdict
from typing import TYPE_CHECKING, NoReturn

from tests.proof.faults.matrix import aim, came_of, clean, futures, rows, run
from tests.proof.faults.paths import PATHS
from tests.proof.faults.world import World

if TYPE_CHECKING:
    from tests.proof.faults.matrix import Result, Row
    from tests.proof.faults.wire import Call


WITH_FILES = frozenset({"sweep", "sweep dry run"})
"""Paths that keep a file open while they call: copies of a process share how far it is read and written."""


def results(path: str) -> dict[Row, Result]:
    """What came of each row of a path."""
    return {row: run(row) for row in rows(path)} if path in WITH_FILES else Branches(path).run()


class Branches:
    """One path, from which a copy branches off for each of its rows. ``found``: what came of them."""

    def __init__(self, path: str) -> None:
        self.found: dict[Row, Result] = {}
        self._path = path
        self._world = World.from_saved(clean(path).before)
        self._mine: Row | None = None
        """In a copy: its row."""
        self._answer_to = -1
        self._known = 0
        """How many futures it knew when it branched off."""
        self._at: dict[tuple[str, int | None], list[Row]] = defaultdict(list)
        for row in rows(path):
            self._at[row.operation, row.nth].append(row)

    def run(self) -> dict[Row, Result]:
        """What came of each row of the path."""
        gc.collect()
        gc.freeze()  # What a collection touches in a copy has to be copied.
        self._world.injector.reached, self._world.injector.armed = self._reach, True
        try:
            PATHS[self._path].act(self._world, list(clean(self._path).arns))
            answer: object = came_of(self._world, self._mine) if self._mine else None
        except BaseException as error:
            if self._mine is None:
                raise
            answer = repr(error)
        if self._mine is not None:
            self._send(answer)
        assert not self._at, f"never reached: {sorted(self._at)}"
        return self.found

    def _reach(self, call: Call) -> None:
        if self._mine is not None:
            return
        for row in self._at.pop((call.name, call.number), ()):
            reading, writing = os.pipe()
            copy = os.fork()
            if copy == 0:
                os.close(reading)
                self._mine, self._answer_to, self._known = row, writing, len(futures)
                aim(self._world, row)
                return
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                answer = pipe.read()
            os.waitpid(copy, 0)
            self._keep(row, answer)

    def _keep(self, row: Row, answer: bytes) -> None:
        result, learnt = pickle.loads(answer)  # noqa: S301 - from a copy of this process
        assert not isinstance(result, str), f"{row}: {result}"
        self.found[row] = result
        futures.update(learnt)

    def _send(self, answer: object) -> NoReturn:
        """To the process that this is a copy of, with the futures that it need not play again. Nothing else of the copy may go on."""
        learnt = dict(list(futures.items())[self._known :])
        with os.fdopen(self._answer_to, "wb") as pipe:
            pipe.write(pickle.dumps((answer, learnt)))
        os._exit(0)
