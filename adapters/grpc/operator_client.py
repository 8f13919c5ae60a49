from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import grpc

from adapters.grpc.channel import DIRECT
from adapters.grpc.messages import configuration_from_message, server_from_message
from adapters.grpc.metadata import REQUEST_ID, STATUS_DETAILS
from application.request_id import new_request_id
from domain.configuration import Configuration, ConfigurationSummary
from domain.server import Server
from protos.manman.v1 import manman_pb2 as pb
from protos.manman.v1 import manman_pb2_grpc

Response = TypeVar("Response")

_DEADLINE_SECONDS = 10.0


class OperatorCallFailed(Exception):
    """The message is one sentence for the operator; `code` is what gRPC calls it."""

    def __init__(self, sentence: str, code: grpc.StatusCode) -> None:
        super().__init__(sentence)
        self.code = code


class OperatorClient:
    """The API as an operator sees it. Every call raises OperatorCallFailed, within ten seconds."""

    def __init__(self, address: str, operator_key: str | None) -> None:
        self._address = address
        self._channel = grpc.insecure_channel(address, DIRECT)
        self._api = manman_pb2_grpc.ManManAPIStub(self._channel)
        self._metadata = (("authorization", f"Bearer {operator_key}"),) if operator_key else ()

    def close(self) -> None:
        self._channel.close()

    def servers(
        self,
        environment: str = "",
        status: str = "",
        not_seen_for: timedelta = timedelta(0),
    ) -> Iterator[Server]:
        """All that match, by id, however many pages they fill."""
        token = ""
        while True:
            page = self._call(
                self._api.ListServers,
                pb.ListServersRequest(
                    page_size=100,
                    page_token=token,
                    environment=environment,
                    status=status,
                    not_seen_for_seconds=int(not_seen_for.total_seconds()),
                ),
            )
            yield from map(server_from_message, page.servers)
            token = page.next_page_token
            if not token:
                return

    def server(self, server_id: int) -> Server:
        answer = self._call(self._api.GetServer, pb.GetServerRequest(server_id=server_id))
        return server_from_message(answer.server)

    def set_default(self, server_id: int) -> Server:
        answer = self._call(
            self._api.UpdateServer,
            pb.UpdateServerRequest(
                server_id=server_id, is_default=True, update_paths=["is_default"]
            ),
        )
        return server_from_message(answer.server)

    def delete(self, server_id: int) -> None:
        self._call(self._api.DeleteServer, pb.DeleteServerRequest(server_id=server_id))

    def refresh(self, server_id: int) -> None:
        self._call(self._api.RefreshServer, pb.RefreshServerRequest(server_id=server_id))

    def put_configuration(self, server_id: int, name: str, document: str) -> Configuration:
        answer = self._call(
            self._api.PutConfiguration,
            pb.PutConfigurationRequest(server_id=server_id, name=name, document=document),
        )
        return configuration_from_message(answer.configuration)

    def configuration(self, server_id: int, name: str) -> Configuration:
        answer = self._call(
            self._api.GetConfiguration, pb.GetConfigurationRequest(server_id=server_id, name=name)
        )
        return configuration_from_message(answer.configuration)

    def configurations(self, server_id: int) -> Sequence[ConfigurationSummary]:
        answer = self._call(
            self._api.ListConfigurations, pb.ListConfigurationsRequest(server_id=server_id)
        )
        return [
            ConfigurationSummary(
                found.name, found.revision, datetime.fromtimestamp(found.updated_at, UTC)
            )
            for found in answer.configurations
        ]

    def delete_configuration(self, server_id: int, name: str) -> None:
        self._call(
            self._api.DeleteConfiguration,
            pb.DeleteConfigurationRequest(server_id=server_id, name=name),
        )

    def _call(self, method: Callable[..., Response], request: Any) -> Response:
        request_id = new_request_id()
        try:
            named = (*self._metadata, (REQUEST_ID, request_id))
            return method(request, timeout=_DEADLINE_SECONDS, metadata=named)
        except grpc.RpcError as error:
            raise self._understood(error, request_id) from None

    def _understood(self, error: grpc.RpcError, request_id: str) -> OperatorCallFailed:
        code: grpc.StatusCode = error.code()
        match code:
            case grpc.StatusCode.UNAVAILABLE if _is_local(error):
                sentence = (
                    f"no API answers at {self._address}: check API_ADDRESS or --api,"
                    " and that it runs"
                )
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                sentence = (
                    f"the API at {self._address} did not answer within {_DEADLINE_SECONDS:.0f} s"
                )
            case grpc.StatusCode.UNIMPLEMENTED:
                sentence = f"what answers at {self._address} is no ManMan API, or an older one"
            case grpc.StatusCode.INTERNAL:
                sentence = f"{error.details()}: the API's log says why, at request_id {request_id}"
            case _:
                sentence = str(error.details())
        return OperatorCallFailed(sentence, code)


def _is_local(error: grpc.RpcError) -> bool:
    """Whether gRPC gave up by itself: an answer of the API carries the status it was made from."""
    names = {item.key for item in error.trailing_metadata() or ()}
    return STATUS_DETAILS not in names
