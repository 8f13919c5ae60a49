from dataclasses import dataclass
from datetime import timedelta

from adapters.grpc.messages.operators import operator_key_to_message
from adapters.grpc.server.page_tokens import decode_key_page_token, encode_key_page_token, page_size
from adapters.grpc.server.peer import current_operator
from adapters.grpc.server.services.choices import parse_choice
from adapters.grpc.server.worker_pool import WorkerPool
from application.operators.create_operator_certificate import CreateOperatorCertificate
from application.operators.create_operator_key import CreateOperatorKey
from application.operators.list_operator_keys import ListOperatorKeys
from application.operators.revoke_operator_key import RevokeOperatorKey
from domain.errors import InvalidField
from domain.keys import OPERATOR_KINDS
from domain.role import Role
from protos.manman.v1 import manman_pb2 as pb

# A hundred years. Keys that are to last longer need no end.
_MAX_LIFETIME_SECONDS = 100 * 365 * 24 * 3600


@dataclass(frozen=True)
class OperatorKeyService:
    """The calls by which admins manage the keys and certificates of operators."""

    operator_calls: WorkerPool
    create_operator_key: CreateOperatorKey
    create_operator_certificate: CreateOperatorCertificate
    list_operator_keys: ListOperatorKeys
    revoke_operator_key: RevokeOperatorKey

    async def CreateOperatorKey(
        self, request: pb.CreateOperatorKeyRequest
    ) -> pb.CreateOperatorKeyResponse:
        if request.signing_request:
            return await self._create_certificate(request)
        key, text = await self.operator_calls.run(
            self.create_operator_key,
            request.name,
            parse_choice(Role, "role", request.role),
            _lifetime(request.expires_in_seconds),
            created_by=current_operator.get().name,
        )
        return pb.CreateOperatorKeyResponse(
            operator_key=operator_key_to_message(key), key=str(text)
        )

    async def _create_certificate(
        self, request: pb.CreateOperatorKeyRequest
    ) -> pb.CreateOperatorKeyResponse:
        key, certificate = await self.operator_calls.run(
            self.create_operator_certificate,
            request.name,
            parse_choice(Role, "role", request.role),
            _lifetime(request.expires_in_seconds),
            request.signing_request,
            created_by=current_operator.get().name,
        )
        return pb.CreateOperatorKeyResponse(
            operator_key=operator_key_to_message(key), certificate=certificate
        )

    async def ListOperatorKeys(
        self, request: pb.ListOperatorKeysRequest
    ) -> pb.ListOperatorKeysResponse:
        page = await self.operator_calls.run(
            self.list_operator_keys,
            size=page_size(request.page_size),
            after=decode_key_page_token(request.page_token, *OPERATOR_KINDS),
        )
        return pb.ListOperatorKeysResponse(
            operator_keys=map(operator_key_to_message, page.keys),
            next_page_token=encode_key_page_token(page.next_after),
        )

    async def RevokeOperatorKey(
        self, request: pb.RevokeOperatorKeyRequest
    ) -> pb.RevokeOperatorKeyResponse:
        key = await self.operator_calls.run(self.revoke_operator_key, request.key_id)
        return pb.RevokeOperatorKeyResponse(operator_key=operator_key_to_message(key))


def _lifetime(seconds: int) -> timedelta | None:
    """None for a key without an end."""
    if not 0 <= seconds <= _MAX_LIFETIME_SECONDS:
        raise InvalidField("expires_in_seconds", f"must be from 0 to {_MAX_LIFETIME_SECONDS}")
    return timedelta(seconds=seconds) if seconds else None
