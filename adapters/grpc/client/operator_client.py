from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import grpc

from adapters.grpc.client.channel import open_channel
from adapters.grpc.client.released_texts import reason_in
from adapters.grpc.messages.audit import audit_entry_from_message
from adapters.grpc.messages.conflicts import conflict_from_message, dry_run_refusal_from_message
from adapters.grpc.messages.error_reasons import Reason
from adapters.grpc.messages.history import entry_from_message
from adapters.grpc.messages.hosts import configuration_from_message, summary_from_message
from adapters.grpc.messages.join_keys import join_key_from_message, use_from_message
from adapters.grpc.messages.metadata import REQUEST_ID, STATUS_DETAILS
from adapters.grpc.messages.operators import operator_key_from_message
from adapters.grpc.messages.servers import deleted_server_from_message, server_from_message
from adapters.grpc.tls.diagnosis import diagnose_tls
from adapters.grpc.tls.trust import Tls
from application.context.request_id import new_request_id
from application.join_keys.list_join_keys import UsedJoinKey
from application.ports.store.access.audit import AuditEntry
from application.ports.store.access.join_keys import JoinKeyUse
from application.ports.store.deleted_servers import DeletedServer
from application.ports.store.dry_run_refusals import DryRunRefusal
from application.servers.explain_server import Explanation
from domain.approval import Approval
from domain.configuration import Configuration, ConfigurationSummary
from domain.conflict import Conflict, Resolution
from domain.join_key import NewJoinKey
from domain.operator_key import OperatorKey
from domain.role import Role
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

    def __init__(self, address: str, operator_key: str | None, tls: Tls | None = None) -> None:
        """Raises CaFileUnusable and ClientCertificateUnusable."""
        self._address = address
        self._tls = tls
        self._channel = open_channel(address, tls)
        self._api = manman_pb2_grpc.ManManAPIStub(self._channel)
        self._metadata = (("authorization", f"Bearer {operator_key}"),) if operator_key else ()

    def close(self) -> None:
        self._channel.close()

    def servers(
        self,
        environment: str = "",
        status: str = "",
        not_seen_for: timedelta = timedelta(0),
        *,
        approval: str = "",
        selector: str = "",
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
                    approval=approval,
                    selector=selector,
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

    def delete(self, server_id: int, *, force: bool = False) -> None:
        self._call(self._api.DeleteServer, pb.DeleteServerRequest(server_id=server_id, force=force))

    def deleted_servers(self) -> Iterator[DeletedServer]:
        """All that can be restored, by id."""
        token = ""
        while True:
            page = self._call(
                self._api.ListDeletedServers,
                pb.ListDeletedServersRequest(page_size=100, page_token=token),
            )
            yield from map(deleted_server_from_message, page.servers)
            token = page.next_page_token
            if not token:
                return

    def restore(self, server_id: int, name: str = "") -> Server:
        """Under the name that it had, unless another is given."""
        request = pb.RestoreServerRequest(server_id=server_id, name=name)
        return server_from_message(self._call(self._api.RestoreServer, request).server)

    def prune(self, *, dry_run: bool = False) -> tuple[list[Server], bool]:
        """At most a hundred ephemeral servers that were offline for too long, which are deleted,
        and whether there are more."""
        answer = self._call(self._api.PruneServers, pb.PruneServersRequest(dry_run=dry_run))
        return [server_from_message(server) for server in answer.servers], answer.more

    def refresh(self, server_id: int) -> None:
        self._call(self._api.RefreshServer, pb.RefreshServerRequest(server_id=server_id))

    def label(self, server_id: int, labels: Mapping[str, str], unset: Sequence[str]) -> Server:
        request = pb.LabelServerRequest(server_id=server_id, set=labels, unset=unset)
        return server_from_message(self._call(self._api.LabelServer, request).server)

    def approve(self, server_id: int) -> Server | None:
        """None where only the ban over a server was left, which is gone."""
        answer = self._call(self._api.ApproveServer, pb.ApproveServerRequest(server_id=server_id))
        return server_from_message(answer.server) if answer.HasField("server") else None

    def reject(self, server_id: int, reason: str = "") -> Server:
        request = pb.RejectServerRequest(server_id=server_id, reason=reason)
        return server_from_message(self._call(self._api.RejectServer, request).server)

    def ban(self, server_id: int, reason: str = "") -> Sequence[Server]:
        """The server, and the others of its machine, which are banned with it."""
        request = pb.BanServerRequest(server_id=server_id, reason=reason)
        server = server_from_message(self._call(self._api.BanServer, request).server)
        if not server.machine:
            return [server]
        banned = self.servers(approval=Approval.BANNED)
        mates = [mate for mate in banned if mate.machine == server.machine]
        return [server, *(mate for mate in mates if mate.server_id != server_id)]

    def explain(self, server_id: int) -> Explanation:
        answer = self._call(self._api.ExplainServer, pb.ExplainServerRequest(server_id=server_id))
        return Explanation(list(answer.sentences), list(map(entry_from_message, answer.history)))

    def merge(self, old_server_id: int, new_server_id: int) -> Server:
        """The new server, which has what hung on the old one; that is deleted."""
        request = pb.MergeServersRequest(old_server_id=old_server_id, new_server_id=new_server_id)
        return server_from_message(self._call(self._api.MergeServers, request).server)

    def conflicts(self, state: str = "") -> Iterator[Conflict]:
        """All of this state, by id, those that are open when none is named."""
        token = ""
        while True:
            page = self._call(
                self._api.ListConflicts,
                pb.ListConflictsRequest(state=state, page_size=100, page_token=token),
            )
            yield from map(conflict_from_message, page.conflicts)
            token = page.next_page_token
            if not token:
                return

    def conflict(self, conflict_id: int) -> Conflict:
        request = pb.GetConflictRequest(conflict_id=conflict_id)
        return conflict_from_message(self._call(self._api.GetConflict, request).conflict)

    def resolve_conflict(
        self, conflict_id: int, resolution: Resolution, new_name: str = ""
    ) -> Conflict:
        request = pb.ResolveConflictRequest(
            conflict_id=conflict_id, resolution=resolution, new_name=new_name
        )
        return conflict_from_message(self._call(self._api.ResolveConflict, request).conflict)

    def dry_run_refusals(self) -> Iterator[DryRunRefusal]:
        """What the switches that only warn would have refused, oldest first."""
        token = ""
        while True:
            page = self._call(
                self._api.ListWouldReject,
                pb.ListWouldRejectRequest(page_size=100, page_token=token),
            )
            yield from map(dry_run_refusal_from_message, page.would_reject)
            token = page.next_page_token
            if not token:
                return

    def audit(self, server_id: int = 0, actor: str = "", limit: int = 100) -> Iterator[AuditEntry]:
        """The last that operators did, newest first, of one server (0: all) and one actor (empty:
        all)."""
        token = ""
        while limit > 0:
            page = self._call(
                self._api.ListAudit,
                pb.ListAuditRequest(
                    page_size=min(limit, 100), page_token=token, server_id=server_id, actor=actor
                ),
            )
            yield from map(audit_entry_from_message, page.entries)
            limit -= len(page.entries)
            token = page.next_page_token
            if not token:
                return

    def create_join_key(
        self, new: NewJoinKey, *, pins_authority: bool = False
    ) -> tuple[UsedJoinKey, str, bool]:
        """With the key as it is shown this once, and whether everybody may join without it."""
        request = pb.CreateJoinKeyRequest(
            environment=new.environment,
            name_pattern=new.name_pattern,
            labels=new.labels,
            uses=new.uses or 0,
            expires_in_seconds=new.expires_in_seconds or 0,
            ephemeral=new.ephemeral,
            pre_approved=new.pre_approved,
            pin_authority=pins_authority,
        )
        answer = self._call(self._api.CreateJoinKey, request)
        return join_key_from_message(answer.join_key), answer.key, answer.everybody_may_join

    def join_keys(self) -> Iterator[UsedJoinKey]:
        """All, by key_id, also those of no use any more."""
        token = ""
        while True:
            page = self._call(
                self._api.ListJoinKeys, pb.ListJoinKeysRequest(page_size=100, page_token=token)
            )
            yield from map(join_key_from_message, page.join_keys)
            token = page.next_page_token
            if not token:
                return

    def join_key_uses(self, key_id: str) -> Iterator[JoinKeyUse]:
        """The servers that joined with a key, by id."""
        token = ""
        while True:
            page = self._call(
                self._api.ListJoinKeyUses,
                pb.ListJoinKeyUsesRequest(key_id=key_id, page_size=100, page_token=token),
            )
            yield from (use_from_message(use, key_id) for use in page.uses)
            token = page.next_page_token
            if not token:
                return

    def revoke_join_key(self, key_id: str) -> UsedJoinKey:
        request = pb.RevokeJoinKeyRequest(key_id=key_id)
        return join_key_from_message(self._call(self._api.RevokeJoinKey, request).join_key)

    def create_operator_certificate(
        self, name: str, role: Role, signing_request: bytes, expires_in: timedelta = timedelta(0)
    ) -> tuple[OperatorKey, str]:
        """With the certificate in PEM; zero is the API's usual life."""
        request = pb.CreateOperatorKeyRequest(
            name=name,
            role=role,
            expires_in_seconds=int(expires_in.total_seconds()),
            signing_request=signing_request,
        )
        answer = self._call(self._api.CreateOperatorKey, request)
        return operator_key_from_message(answer.operator_key), answer.certificate

    def create_operator_key(
        self, name: str, role: Role, expires_in: timedelta = timedelta(0)
    ) -> tuple[OperatorKey, str]:
        """With the key as it is shown this once; zero is for ever."""
        request = pb.CreateOperatorKeyRequest(
            name=name, role=role, expires_in_seconds=int(expires_in.total_seconds())
        )
        answer = self._call(self._api.CreateOperatorKey, request)
        return operator_key_from_message(answer.operator_key), answer.key

    def operator_keys(self) -> Iterator[OperatorKey]:
        """All, by key_id, also those of no use any more."""
        token = ""
        while True:
            page = self._call(
                self._api.ListOperatorKeys,
                pb.ListOperatorKeysRequest(page_size=100, page_token=token),
            )
            yield from map(operator_key_from_message, page.operator_keys)
            token = page.next_page_token
            if not token:
                return

    def revoke_operator_key(self, key_id: str) -> OperatorKey:
        request = pb.RevokeOperatorKeyRequest(key_id=key_id)
        answer = self._call(self._api.RevokeOperatorKey, request)
        return operator_key_from_message(answer.operator_key)

    def put_configuration(
        self, server_id: int, name: str, document: str, selector: str = ""
    ) -> Configuration:
        """With a selector the id is 0, here and below."""
        answer = self._call(
            self._api.PutConfiguration,
            pb.PutConfigurationRequest(
                server_id=server_id, name=name, document=document, selector=selector
            ),
        )
        return configuration_from_message(answer.configuration)

    def configuration(self, server_id: int, name: str, selector: str = "") -> Configuration:
        answer = self._call(
            self._api.GetConfiguration,
            pb.GetConfigurationRequest(server_id=server_id, name=name, selector=selector),
        )
        return configuration_from_message(answer.configuration)

    def configurations(self, server_id: int) -> Sequence[ConfigurationSummary]:
        """Those that hang on a server; with the id 0, those that hang on selectors."""
        answer = self._call(
            self._api.ListConfigurations, pb.ListConfigurationsRequest(server_id=server_id)
        )
        return [summary_from_message(found) for found in answer.configurations]

    def effective_configurations(self, server_id: int) -> Sequence[ConfigurationSummary]:
        """All that a server gets, by name."""
        answer = self._call(
            self._api.GetEffectiveConfiguration,
            pb.GetEffectiveConfigurationRequest(server_id=server_id),
        )
        return [summary_from_message(found) for found in answer.configurations]

    def delete_configuration(self, server_id: int, name: str, selector: str = "") -> None:
        self._call(
            self._api.DeleteConfiguration,
            pb.DeleteConfigurationRequest(server_id=server_id, name=name, selector=selector),
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
                trouble = diagnose_tls(self._address, self._tls)
                sentence = (
                    f"the API at {self._address} {trouble}"
                    if trouble
                    else f"no API answers at {self._address}: check API_ADDRESS or --api,"
                    " and that it runs"
                )
            case grpc.StatusCode.UNAUTHENTICATED if self._is_not_known(error):
                sentence = (
                    f"the API at {self._address} knows no operator by the certificate in"
                    " API_CLIENT_CERT_PATH: set API_ADDRESS to its port for certificates"
                    " (MTLS_LISTEN_ADDRESS), and show one that `manmanv2 operators create"
                    " --certificate` made"
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

    def _is_not_known(self, error: grpc.RpcError) -> bool:
        """Whether the API takes a caller for nobody who has shown it a certificate, or meant to."""
        shows_one = self._tls is not None and self._tls.client is not None
        return shows_one and reason_in(error) == Reason.OPERATOR_KEY_REQUIRED


def _is_local(error: grpc.RpcError) -> bool:
    """Whether gRPC gave up by itself: an answer of the API carries the status it was made from."""
    names = {item.key for item in error.trailing_metadata() or ()}
    return STATUS_DETAILS not in names
