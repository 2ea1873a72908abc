"""What stands in for AWS's IMDS Packet Analyzer, whose probe needs a kernel of its own: the same file, options and log.

It gets the calls from the local AWS (`local/server/imds/callers.py`), and logs them as the analyzer does: by `logging.conf` in its folder,
in lower case, at the level WARNING.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

BUCKET, KEY = "acme-tools", "imds/analyzer.tar.gz"

SNOOP = """
import logging, os, time
from logging.config import fileConfig

fileConfig("logging.conf")
with open(os.environ["LOCAL_IMDS_CALLS"]) as calls:
    print("Starting ImdsPacketAnalyzer...")
    while True:
        line = calls.readline()
        if line:
            logging.getLogger().warning(line.rstrip())
        else:
            time.sleep(0.05)
"""
FILES = {"src/imds_snoop.py": SNOOP, "src/bcc.py": ""}


def packed() -> bytes:
    """The artefact: the same bytes each time."""
    archive = io.BytesIO()
    with gzip.GzipFile(fileobj=archive, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, text in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return archive.getvalue()


def setting(region: str) -> dict[str, str]:
    """The setting `capture` of the stack."""
    return {"bucket": BUCKET, "key": KEY, "region": region, "sha256": hashlib.sha256(packed()).hexdigest()}
