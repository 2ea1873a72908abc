"""boto3 sessions that talk to a local AWS."""

from __future__ import annotations

from typing import Any, Final

import boto3
import botocore.session

# Service models, read once for all sessions.
_LOADER: Final = botocore.session.get_session().get_component("data_loader")


class LocalSession(boto3.Session):
    """A boto3 session whose clients talk to one local AWS, whatever the environment says.

    A client is made once for each service: reading EC2's service model takes half a second.
    """

    def __init__(self, *, endpoint: str, account: str, region: str) -> None:
        # A key of twelve digits is the administrator of that account.
        super().__init__(aws_access_key_id=account, aws_secret_access_key="test", region_name=region)  # noqa: S106 - no secret
        self._session.register_component("data_loader", _LOADER)
        self._endpoint = endpoint
        self._clients: dict[str, Any] = {}

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        """A client of the local AWS."""
        if args or kwargs:
            return super().client(service_name, *args, **{"endpoint_url": self._endpoint, **kwargs})  # type: ignore[call-overload]
        if service_name not in self._clients:
            self._clients[service_name] = super().client(service_name, endpoint_url=self._endpoint)  # type: ignore[call-overload]
        return self._clients[service_name]
