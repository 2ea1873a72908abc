"""Distributed maps that write their results to S3: a manifest, and a file for what succeeded and one for what failed.

ministack runs the maps, and hands the results on as if no `ResultWriter` stood there.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.server.platform import Record

SHAPING_THE_OUTPUT: Final = ("ResultSelector", "ResultPath", "OutputPath")
OF_A_CHILD: Final = (
    "executionArn",
    "input",
    "name",
    "output",
    "startDate",
    "stateMachineArn",
    "status",
    "stopDate",
    "error",
    "cause",
)


def install() -> None:
    """Have maps with a `ResultWriter` write."""
    run = ms.stepfunctions._run_distributed_map

    def run_and_write(
        state: Record, given: Any, effective: Any, iterator: Record, execution: Record, context: Any
    ) -> Any:
        if "ResultWriter" not in state:
            return run(state, given, effective, iterator, execution, context)
        run(_without(state, SHAPING_THE_OUTPUT), given, effective, iterator, execution, context)
        place = ms.stepfunctions._resolve_params_obj(state["ResultWriter"]["Parameters"], effective, context)
        map_run = [
            arn for arn, each in ms.stepfunctions._map_runs.items() if each["executionArn"] == execution["executionArn"]
        ][-1]
        details = {"Bucket": place["Bucket"], "Key": _write(map_run, place["Bucket"], place.get("Prefix", ""))}
        result = {"MapRunArn": map_run, "ResultWriterDetails": details}
        output = ms.stepfunctions._apply_result_path(
            state, given, ms.stepfunctions._apply_result_selector(state, result)
        )
        return ms.stepfunctions._apply_output_path(state, output, context), ms.stepfunctions._next_or_end(state)

    ms.stepfunctions._run_distributed_map = run_and_write


def _write(map_run: str, bucket: str, prefix: str) -> str:
    folder = f"{prefix}/{uuid.uuid4()}".strip("/")
    children = [each for each in ms.stepfunctions._executions.values() if each.get("mapRunArn") == map_run]
    files: dict[str, list[Record]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    for status, listed in files.items():
        ended = [_as_written(each) for each in children if each["status"] == status]
        if ended:
            listed.append(_put(bucket, f"{folder}/{status}_0.json", ended))
    manifest = {"DestinationBucket": bucket, "MapRunArn": map_run, "ResultFiles": files}
    return str(_put(bucket, f"{folder}/manifest.json", manifest)["Key"])


def _as_written(child: Record) -> Record:
    return {name[0].upper() + name[1:]: child[name] for name in OF_A_CHILD if child.get(name) is not None}


def _put(bucket: str, key: str, document: object) -> Record:
    body = json.dumps(document).encode()
    ms.s3._put_object(bucket, key, body, {})
    return {"Key": key, "Size": len(body)}


def _without(record: Record, names: Iterable[str]) -> Record:
    return {name: value for name, value in record.items() if name not in names}
