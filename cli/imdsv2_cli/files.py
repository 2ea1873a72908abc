"""Files that commands write: whole or not at all, and refused before anything is done where they cannot be written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from imdsv2_cli.failure import Failure

_ANOTHER = "choose another path"


def refuse_unwritable(path: Path) -> None:
    """Raises Failure for a file that cannot be written: whoever learns that after a change has lost the answer."""
    if _is_special(path):
        if not os.access(path, os.W_OK):
            raise Failure(f"{path} cannot be written", "this is not permitted", _ANOTHER)
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise Failure(f"{path} cannot be written", f"there is no folder {folder}", "make it, or " + _ANOTHER)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Failure(f"{path} cannot be written", f"nothing may be written in {folder}", _ANOTHER)


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all; what is no regular file, as /dev/stdout, is written to as it is. Raises Failure."""
    try:
        if _is_special(path):
            path.write_text(text, encoding="utf-8", newline="")
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise Failure(f"{path} was not written", error.strerror or str(error), _ANOTHER) from error


def _is_special(path: Path) -> bool:
    """A device, a pipe or a terminal must not be replaced by a file."""
    return path.exists() and not path.is_file()


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(name).chmod(_mode(path))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced; those of a new one are as the caller's umask says."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask
