"""Features of Step Functions that ministack lacks: redrive, the size limit of a state's output, and the name of Lambda's refusal to start
one more function.

As AWS documents `RedriveExecution`: a failed execution continues at the state that failed, with that state's input; states that
succeeded are not run again. A failed Map Run is redriven with it: only the children that have not succeeded, each from its failed
state. Different from AWS: the branches of a parallel state and of an inline map are run again as a whole.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import contextvars
import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.server.platform import Headers, Params, Record, Response

UNSUCCESSFUL: Final = ("FAILED", "TIMED_OUT", "ABORTED")
MOST_BYTES: Final = 262_144
"""Of the input or output of a state (256 KiB); what is larger has to take the way over S3."""
COUNTED_AS: Final = {
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "PENDING_REDRIVE": "pendingRedrive",
}
REFUSED: Final = "TooManyRequestsException"
CONTEXT: Final = "_context"
"""Where a child keeps the context that it was started with."""


def install() -> None:
    """Add RedriveExecution, the records that it needs, the size limit, and the name of a refusal."""
    serve = ms.SERVICES["states"]

    async def handle(method: str, path: str, headers: Headers, body: bytes, query: Params) -> Response:
        if headers.get("x-amz-target", "").endswith(".RedriveExecution"):
            answer: Response = ms.stepfunctions._finalize_response(_redrive(json.loads(body)))
            return answer
        return await serve(method, path, headers, body, query)

    ms.SERVICES["states"] = handle
    _tell_of_redrives()
    _limit_output()
    _name_refusals()
    _keep_history_of_children()
    _redrive_map_runs()


def _redrive(asked: Record) -> Response:
    execution = ms.stepfunctions._executions.get(asked.get("executionArn"))
    if execution is None:
        return _refusal("ExecutionDoesNotExist", f"Execution Does Not Exist: '{asked.get('executionArn')}'")
    status = _redrive_status(execution)
    if status["redriveStatus"] != "REDRIVABLE":
        return _refusal("ExecutionNotRedrivable", status.get("redriveStatusReason", "Redrive its Map Run"))
    _begin_again(execution)
    ms.stepfunctions._emit_execution_status_event(execution)
    here = contextvars.copy_context()  # The account and Region, which a thread does not inherit.
    threading.Thread(target=here.run, args=(_go_on, execution), daemon=True).start()
    return _answer({"redriveDate": execution["redriveDate"]})


def _redrive_status(execution: Record) -> dict[str, str]:
    if execution["status"] in UNSUCCESSFUL:
        return {"redriveStatus": "REDRIVABLE_BY_MAP_RUN" if execution.get("mapRunArn") else "REDRIVABLE"}
    reason = f"Execution is {execution['status']} and cannot be redriven"
    return {"redriveStatus": "NOT_REDRIVABLE", "redriveStatusReason": reason}


def _begin_again(execution: Record) -> None:
    count = execution.get("redriveCount", 0) + 1
    execution |= {"status": "RUNNING", "stopDate": None, "output": None, "error": None, "cause": None}
    execution |= {"redriveCount": count, "redriveDate": ms.responses.now_iso()}
    details = {"executionRedrivenEventDetails": {"redriveCount": count}}
    ms.stepfunctions._add_event(execution, "ExecutionRedriven", details)


def _go_on(execution: Record) -> None:
    machine = ms.stepfunctions._state_machines[execution["stateMachineArn"]]
    definition = json.loads(machine["definition"])
    begun = {"Id": execution["executionArn"], "Name": execution["name"], "StartTime": execution["startDate"]}
    context = {
        "QueryLanguage": definition.get("QueryLanguage", "JSONPath"),
        "Execution": {**begun, "Input": json.loads(execution["input"])},
        "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
        "variables": {},
    }
    try:
        output = json.dumps(_walk(definition["States"], *_interrupted(execution), execution, context))
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends the execution and no more
        ms.stepfunctions._fail_execution(execution, *_error_and_cause(error))
        return
    execution |= {"status": "SUCCEEDED", "output": output, "stopDate": ms.responses.now_iso()}
    ms.stepfunctions._add_event(execution, "ExecutionSucceeded", {"executionSucceededEventDetails": {"output": output}})
    ms.stepfunctions._emit_execution_status_event(execution)


def _interrupted(execution: Record) -> tuple[str, Any]:
    """The name of the last state that was entered, and its input."""
    entered = [
        each["stateEnteredEventDetails"] for each in execution["events"] if each["type"].endswith("StateEntered")
    ]
    return entered[-1]["name"], json.loads(entered[-1]["input"])


def _error_and_cause(error: Exception) -> tuple[str, str]:
    if isinstance(error, ms.stepfunctions._ExecutionError):
        return error.error, error.cause
    return "States.Runtime", str(error)


def _walk(states: Mapping[str, Record], name: str | None, given: Any, execution: Record, context: Record) -> Any:
    """Run the states from `name` to the end, and record the history."""
    while name:
        context["State"] = {"Name": name, "EnteredTime": ms.responses.now_iso(), "RetryCount": 0}
        state, kind = states[name], states[name]["Type"]
        entered = {"stateEnteredEventDetails": {"name": name, "input": json.dumps(given)}}
        ms.stepfunctions._add_event(execution, f"{kind}StateEntered", entered)
        given, following = _step(state, given, execution, context)
        left = {"stateExitedEventDetails": {"name": name, "output": json.dumps(given)}}
        ms.stepfunctions._add_event(execution, f"{kind}StateExited", left)
        name = following
    return given


def _step(state: Record, given: Any, execution: Record, context: Record) -> tuple[Any, str | None]:
    kind, steps = state["Type"], ms.stepfunctions
    if kind == "Succeed":
        return steps._apply_output_path(state, steps._apply_input_path(state, given, context), context), None
    if kind == "Fail":
        raise steps._ExecutionError(*steps._fail_state_error(state, given, context))
    run = getattr(steps, f"_execute_{kind.lower()}")
    done: tuple[Any, str | None] = (
        run(state, given, execution, context) if kind in {"Task", "Parallel", "Map"} else run(state, given, context)
    )
    return done


def _keep_history_of_children() -> None:
    run = ms.stepfunctions._run_sub_machine

    def run_and_keep(states: Record, start_at: str, given: Any, execution: Record, context: Record) -> Any:
        # A child's own states; what a branch within it goes through is no place to go on from.
        if "mapRunArn" not in execution or execution["events"]:
            return run(states, start_at, given, execution, context)
        execution[CONTEXT] = context
        return _walk(states, start_at, copy.deepcopy(given), execution, context)

    ms.stepfunctions._run_sub_machine = run_and_keep


def _redrive_map_runs() -> None:
    run = ms.stepfunctions._run_distributed_map

    def run_or_redrive(
        state: Record, given: Any, effective: Any, iterator: Record, execution: Record, context: Record
    ) -> Any:
        failed = _failed_run_of(execution)
        if failed is None:
            return run(state, given, effective, iterator, execution, context)
        details = {"mapRunArn": failed["mapRunArn"], "redriveCount": failed["redriveCount"] + 1}
        ms.stepfunctions._add_event(execution, "MapRunRedriven", {"mapRunRedrivenEventDetails": details})
        children = _children_of(failed)
        _run_again(failed, children, iterator["States"])
        _end(failed, children, state)
        results = [json.loads(child["output"]) if child["output"] else None for child in children]
        result = ms.stepfunctions._apply_result_selector(state, results)
        output = ms.stepfunctions._apply_result_path(state, given, result)
        return ms.stepfunctions._apply_output_path(state, output, context), ms.stepfunctions._next_or_end(state)

    ms.stepfunctions._run_distributed_map = run_or_redrive


def _failed_run_of(execution: Record) -> Record | None:
    """The Map Run that failed the execution, if this redrive has not redriven it yet."""
    runs: list[Record] = [
        run for run in ms.stepfunctions._map_runs.values() if run["executionArn"] == execution["executionArn"]
    ]
    last = runs[-1] if runs else None
    waits = last is not None and last["status"] == "FAILED" and last["redriveCount"] < execution.get("redriveCount", 0)
    return last if waits else None


def _children_of(map_run: Record) -> list[Record]:
    """The child executions of a Map Run, in the order of its items."""
    every = ms.stepfunctions._executions.values()
    children = [each for each in every if each.get("mapRunArn") == map_run["mapRunArn"]]
    return sorted(children, key=lambda child: int(child[CONTEXT]["Map"]["Item"]["Index"]))


def _run_again(map_run: Record, children: Sequence[Record], states: Mapping[str, Record]) -> None:
    def run(child: Record) -> None:
        _begin_again(child)
        try:
            output = _walk(states, *_interrupted(child), child, child[CONTEXT])
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the child and no more
            failure = dict(zip(("error", "cause"), _error_and_cause(error), strict=True))
            child |= {"status": "FAILED", "stopDate": ms.responses.now_iso(), **failure}
        else:
            child |= {"status": "SUCCEEDED", "stopDate": ms.responses.now_iso(), "output": json.dumps(output)}

    waiting = [child for child in children if child["status"] in UNSUCCESSFUL]
    for child in waiting:
        child["status"] = "PENDING_REDRIVE"
    date = ms.responses.now_iso()
    map_run |= {"status": "RUNNING", "redriveCount": map_run["redriveCount"] + 1, "redriveDate": date}
    del map_run["stopDate"]
    _count(map_run, children)
    with ThreadPoolExecutor(map_run["maxConcurrency"] or len(waiting)) as pool:
        for each in [pool.submit(contextvars.copy_context().run, run, child) for child in waiting]:
            each.result()


def _end(map_run: Record, children: Sequence[Record], state: Record) -> None:
    _count(map_run, children)
    map_run["stopDate"] = ms.responses.now_iso()
    failed = map_run["executionCounts"]["failed"]
    limits = [
        failed > most
        for name, most in (
            ("ToleratedFailureCount", map_run["toleratedFailureCount"]),
            ("ToleratedFailurePercentage", map_run["toleratedFailurePercentage"] * len(children) / 100),
        )
        if name in state
    ]
    if failed and (any(limits) or not limits):
        map_run["status"] = "FAILED"
        why = "The specified tolerated failure threshold was exceeded"
        raise ms.stepfunctions._ExecutionError("States.ExceedToleratedFailureThreshold", why)
    map_run["status"] = "SUCCEEDED"


def _count(map_run: Record, children: Sequence[Record]) -> None:
    for counts in (map_run["executionCounts"], map_run["itemCounts"]):
        counts |= dict.fromkeys(COUNTED_AS.values(), 0)
        for child in children:
            counts[COUNTED_AS[child["status"]]] += 1


def _tell_of_redrives() -> None:
    describe = ms.stepfunctions._describe_execution

    def describe_all(asked: Record) -> Response:
        status, headers, body = describe(asked)
        execution = ms.stepfunctions._executions.get(asked.get("executionArn"))
        if execution is None:
            return status, headers, body
        redrives = {"redriveCount": execution.get("redriveCount", 0), **_redrive_status(execution)}
        redrives |= {"redriveDate": execution["redriveDate"]} if "redriveDate" in execution else {}
        return _answer({**json.loads(body), **redrives})

    ms.stepfunctions._describe_execution = describe_all


def _limit_output() -> None:
    execute = ms.stepfunctions._execute_task

    def execute_within(state: Record, given: Any, execution: Record, context: Record) -> tuple[Any, str | None]:
        output, following = execute(state, given, execution, context)
        if len(json.dumps(output).encode()) > MOST_BYTES:
            why = f"The state/task '{context['State']['Name']}' returned a result with a size exceeding the maximum number of bytes service limit."
            raise ms.stepfunctions._ExecutionError("States.DataLimitExceeded", why)
        return output, following

    ms.stepfunctions._execute_task = execute_within


def _name_refusals() -> None:
    """Of a function that Lambda does not start, because the account has too many under way, a state fails with the name of that error:
    ministack calls it `Lambda.Unknown`."""
    call = ms.stepfunctions._call_lambda

    def call_or_name(function: str, event: Any) -> Any:
        try:
            return call(function, event)
        except ms.stepfunctions._ExecutionError as error:
            if REFUSED in error.cause and error.error == "Lambda.Unknown":
                raise ms.stepfunctions._ExecutionError(f"Lambda.{REFUSED}", error.cause) from error
            raise

    ms.stepfunctions._call_lambda = call_or_name


def _answer(data: Record) -> Response:
    answer: Response = ms.responses.json_response(data)
    return answer


def _refusal(code: str, message: str) -> Response:
    refusal: Response = ms.responses.error_response_json(code, message, 400)
    return refusal
