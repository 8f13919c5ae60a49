from dataclasses import dataclass

from adapters.grpc.messages.join_keys import join_key_to_message, use_to_message
from adapters.grpc.server.page_tokens import (
    decode_key_page_token,
    decode_page_token,
    encode_key_page_token,
    encode_page_token,
    page_size,
)
from adapters.grpc.server.peer import current_operator
from adapters.grpc.server.worker_pool import WorkerPool
from application.join_keys.create_join_key import CreateJoinKey
from application.join_keys.list_join_key_uses import ListJoinKeyUses
from application.join_keys.list_join_keys import ListJoinKeys, UsedJoinKey
from application.join_keys.revoke_join_key import RevokeJoinKey
from domain.join_key import NewJoinKey
from domain.keys import JOIN_KEY
from protos.manman.v1 import manman_pb2 as pb


@dataclass(frozen=True)
class JoinKeyService:
    """The calls by which operators manage join keys."""

    operator_calls: WorkerPool
    create_join_key: CreateJoinKey
    list_join_keys: ListJoinKeys
    list_join_key_uses: ListJoinKeyUses
    revoke_join_key: RevokeJoinKey

    async def CreateJoinKey(self, request: pb.CreateJoinKeyRequest) -> pb.CreateJoinKeyResponse:
        new = NewJoinKey(
            environment=request.environment,
            name_pattern=request.name_pattern,
            labels=dict(request.labels),
            uses=request.uses or None,
            expires_in_seconds=request.expires_in_seconds or None,
            ephemeral=request.ephemeral,
            pre_approved=request.pre_approved,
        )
        created = await self.operator_calls.run(
            self.create_join_key,
            new,
            created_by=current_operator.get().name,
            pins_authority=request.pin_authority,
        )
        return pb.CreateJoinKeyResponse(
            join_key=join_key_to_message(UsedJoinKey(created.key, used=0)),
            key=str(created.plaintext_key),
            everybody_may_join=created.is_open_registration,
        )

    async def ListJoinKeys(self, request: pb.ListJoinKeysRequest) -> pb.ListJoinKeysResponse:
        page = await self.operator_calls.run(
            self.list_join_keys,
            size=page_size(request.page_size),
            after=decode_key_page_token(request.page_token, JOIN_KEY),
        )
        return pb.ListJoinKeysResponse(
            join_keys=map(join_key_to_message, page.keys),
            next_page_token=encode_key_page_token(page.next_after),
        )

    async def ListJoinKeyUses(
        self, request: pb.ListJoinKeyUsesRequest
    ) -> pb.ListJoinKeyUsesResponse:
        page = await self.operator_calls.run(
            self.list_join_key_uses,
            request.key_id,
            size=page_size(request.page_size),
            after=decode_page_token(request.page_token),
        )
        return pb.ListJoinKeyUsesResponse(
            uses=map(use_to_message, page.uses),
            next_page_token=encode_page_token(page.next_after),
        )

    async def RevokeJoinKey(self, request: pb.RevokeJoinKeyRequest) -> pb.RevokeJoinKeyResponse:
        revoked = await self.operator_calls.run(self.revoke_join_key, request.key_id)
        return pb.RevokeJoinKeyResponse(join_key=join_key_to_message(revoked))
