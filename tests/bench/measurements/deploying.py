"""The deployment of the stack into an account that has nothing yet, on the local AWS."""

from __future__ import annotations

import statistics
import time

from local.cloud.deploy import Deployment
from local.cloud.run import MEMBERS, ROOT, SECURITY, LocalCloud
from tests.bench.measurement import Measurement, spread_of

RUNS = 3


def cold() -> Measurement:
    """`deploy.cold`: the stack of the service from its synthesised template, the roles of its members being there."""
    deployment = Deployment.synthesised(ROOT, {})
    times = [_once(deployment) for _ in range(RUNS)]
    return Measurement(name="deploy.cold", value=statistics.median(times), unit="s", spread=spread_of(times))


def _once(deployment: Deployment) -> float:
    with LocalCloud() as cloud:
        for account in MEMBERS:
            deployment.deploy_member(cloud.session(account=account), security_account=SECURITY)
        began = time.perf_counter()
        deployment.deploy_service(cloud.session())
        return time.perf_counter() - began
