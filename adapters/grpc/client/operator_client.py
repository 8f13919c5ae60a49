from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Protocol, TypeVar

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

_TIMEOUT_SECONDS = 10.0
_PAGE_SIZE = 100


class _Page(Protocol):
    next_page_token: str


Response = TypeVar("Response")
Page = TypeVar("Page", bound=_Page)


class OperatorCallFailed(Exception):
    """The message is one sentence for the operator, `code` the status code of gRPC."""

    def __init__(self, sentence: str, code: grpc.StatusCode) -> None:
        super().__init__(sentence)
        self.code = code


class OperatorClient:
    """The API as an operator sees it. Every call raises OperatorCallFailed within ten seconds."""

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
        """All that match, by id. Fetches one page after the other."""
        request = pb.ListServersRequest(
            page_size=_PAGE_SIZE,
            environment=environment,
            status=status,
            not_seen_for_seconds=int(not_seen_for.total_seconds()),
            approval=approval,
            selector=selector,
        )
        for page in self._pages(self._api.ListServers, request):
            yield from map(server_from_message, page.servers)

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
        request = pb.ListDeletedServersRequest(page_size=_PAGE_SIZE)
        for page in self._pages(self._api.ListDeletedServers, request):
            yield from map(deleted_server_from_message, page.servers)

    def restore(self, server_id: int, name: str = "") -> Server:
        """Restore it under `name`, or under its old name if that is empty."""
        request = pb.RestoreServerRequest(server_id=server_id, name=name)
        return server_from_message(self._call(self._api.RestoreServer, request).server)

    def prune(self, *, dry_run: bool = False) -> tuple[list[Server], bool]:
        """Delete ephemeral servers that were offline for too long, at most a hundred.

        Returns them, and whether there are more. A dry run only lists them.
        """
        answer = self._call(self._api.PruneServers, pb.PruneServersRequest(dry_run=dry_run))
        return [server_from_message(server) for server in answer.servers], answer.more

    def refresh(self, server_id: int) -> None:
        self._call(self._api.RefreshServer, pb.RefreshServerRequest(server_id=server_id))

    def label(self, server_id: int, labels: Mapping[str, str], unset: Sequence[str]) -> Server:
        request = pb.LabelServerRequest(server_id=server_id, set=labels, unset=unset)
        return server_from_message(self._call(self._api.LabelServer, request).server)

    def approve(self, server_id: int) -> Server | None:
        """None if the server was already deleted and only its ban was left, which is now lifted."""
        answer = self._call(self._api.ApproveServer, pb.ApproveServerRequest(server_id=server_id))
        return server_from_message(answer.server) if answer.HasField("server") else None

    def reject(self, server_id: int, reason: str = "") -> Server:
        request = pb.RejectServerRequest(server_id=server_id, reason=reason)
        return server_from_message(self._call(self._api.RejectServer, request).server)

    def ban(self, server_id: int, reason: str = "") -> Sequence[Server]:
        """The server and the other servers of its machine, which are banned with it."""
        request = pb.BanServerRequest(server_id=server_id, reason=reason)
        server = server_from_message(self._call(self._api.BanServer, request).server)
        if not server.machine:
            return [server]
        banned = self.servers(approval=Approval.BANNED)
        same_machine = [other for other in banned if other.machine == server.machine]
        return [server, *(other for other in same_machine if other.server_id != server_id)]

    def explain(self, server_id: int) -> Explanation:
        answer = self._call(self._api.ExplainServer, pb.ExplainServerRequest(server_id=server_id))
        return Explanation(list(answer.sentences), list(map(entry_from_message, answer.history)))

    def merge(self, old_server_id: int, new_server_id: int) -> Server:
        """The new server, which takes over what belonged to the old one. The old one is deleted."""
        request = pb.MergeServersRequest(old_server_id=old_server_id, new_server_id=new_server_id)
        return server_from_message(self._call(self._api.MergeServers, request).server)

    def conflicts(self, state: str = "") -> Iterator[Conflict]:
        """All in this state, by id; the open ones if `state` is empty."""
        request = pb.ListConflictsRequest(state=state, page_size=_PAGE_SIZE)
        for page in self._pages(self._api.ListConflicts, request):
            yield from map(conflict_from_message, page.conflicts)

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
        """Calls that ENFORCEMENT let through with a warning, oldest first."""
        request = pb.ListWouldRejectRequest(page_size=_PAGE_SIZE)
        for page in self._pages(self._api.ListWouldReject, request):
            yield from map(dry_run_refusal_from_message, page.would_reject)

    def audit(self, server_id: int = 0, actor: str = "", limit: int = 100) -> Iterator[AuditEntry]:
        """The last `limit` actions of operators, newest first.

        Of all servers if `server_id` is 0, of all actors if `actor` is empty.
        """
        request = pb.ListAuditRequest(
            page_size=min(limit, _PAGE_SIZE), server_id=server_id, actor=actor
        )
        pages = self._pages(self._api.ListAudit, request)
        entries = (audit_entry_from_message(entry) for page in pages for entry in page.entries)
        return islice(entries, max(limit, 0))

    def create_join_key(
        self, new: NewJoinKey, *, pins_authority: bool = False
    ) -> tuple[UsedJoinKey, str, bool]:
        """The key, its plaintext (which the API reveals only here), and whether hosts may join
        without a key."""
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
        """All, by key_id, including those that are used up, expired or revoked."""
        request = pb.ListJoinKeysRequest(page_size=_PAGE_SIZE)
        for page in self._pages(self._api.ListJoinKeys, request):
            yield from map(join_key_from_message, page.join_keys)

    def join_key_uses(self, key_id: str) -> Iterator[JoinKeyUse]:
        """The servers that joined with the key, by id."""
        request = pb.ListJoinKeyUsesRequest(key_id=key_id, page_size=_PAGE_SIZE)
        for page in self._pages(self._api.ListJoinKeyUses, request):
            yield from (use_from_message(use, key_id) for use in page.uses)

    def revoke_join_key(self, key_id: str) -> UsedJoinKey:
        request = pb.RevokeJoinKeyRequest(key_id=key_id)
        return join_key_from_message(self._call(self._api.RevokeJoinKey, request).join_key)

    def create_operator_certificate(
        self, name: str, role: Role, signing_request: bytes, expires_in: timedelta = timedelta(0)
    ) -> tuple[OperatorKey, str]:
        """The key and the certificate in PEM. Zero is the API's default lifetime."""
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
        """The key and its plaintext, which the API reveals only here. Zero never expires."""
        request = pb.CreateOperatorKeyRequest(
            name=name, role=role, expires_in_seconds=int(expires_in.total_seconds())
        )
        answer = self._call(self._api.CreateOperatorKey, request)
        return operator_key_from_message(answer.operator_key), answer.key

    def operator_keys(self) -> Iterator[OperatorKey]:
        """All, by key_id, including those that are expired or revoked."""
        request = pb.ListOperatorKeysRequest(page_size=_PAGE_SIZE)
        for page in self._pages(self._api.ListOperatorKeys, request):
            yield from map(operator_key_from_message, page.operator_keys)

    def revoke_operator_key(self, key_id: str) -> OperatorKey:
        request = pb.RevokeOperatorKeyRequest(key_id=key_id)
        answer = self._call(self._api.RevokeOperatorKey, request)
        return operator_key_from_message(answer.operator_key)

    def put_configuration(
        self, server_id: int, name: str, document: str, selector: str = ""
    ) -> Configuration:
        """Attach the document to the selector, or if that is empty to the server. With a selector,
        `server_id` is 0, here and below."""
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
        """The configurations of a server; with the id 0, those of selectors."""
        answer = self._call(
            self._api.ListConfigurations, pb.ListConfigurationsRequest(server_id=server_id)
        )
        return [summary_from_message(summary) for summary in answer.configurations]

    def effective_configurations(self, server_id: int) -> Sequence[ConfigurationSummary]:
        """All configurations that a server receives, by name."""
        answer = self._call(
            self._api.GetEffectiveConfiguration,
            pb.GetEffectiveConfigurationRequest(server_id=server_id),
        )
        return [summary_from_message(summary) for summary in answer.configurations]

    def delete_configuration(self, server_id: int, name: str, selector: str = "") -> None:
        self._call(
            self._api.DeleteConfiguration,
            pb.DeleteConfigurationRequest(server_id=server_id, name=name, selector=selector),
        )

    def _pages(self, method: Callable[..., Page], request: Any) -> Iterator[Page]:
        """Every page of a list, fetched when the one before it is used up."""
        while True:
            page = self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _call(self, method: Callable[..., Response], request: Any) -> Response:
        request_id = new_request_id()
        metadata = (*self._metadata, (REQUEST_ID, request_id))
        try:
            return method(request, timeout=_TIMEOUT_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            raise self._translate(error, request_id) from None

    def _translate(self, error: grpc.RpcError, request_id: str) -> OperatorCallFailed:
        code: grpc.StatusCode = error.code()
        match code:
            case grpc.StatusCode.UNAVAILABLE if _is_local(error):
                problem = diagnose_tls(self._address, self._tls)
                sentence = (
                    f"the API at {self._address} {problem}"
                    if problem
                    else f"no API answers at {self._address}: check API_ADDRESS or --api,"
                    " and that it runs"
                )
            case grpc.StatusCode.UNAUTHENTICATED if self._certificate_was_ignored(error):
                sentence = (
                    f"the API at {self._address} did not recognise the certificate in"
                    " API_CLIENT_CERT_PATH: set API_ADDRESS to the API's mutual-TLS port"
                    " (MTLS_LISTEN_ADDRESS), and use a certificate that `manmanv2 operators create"
                    " --certificate` created"
                )
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                sentence = (
                    f"the API at {self._address} did not answer within {_TIMEOUT_SECONDS:.0f} s"
                )
            case grpc.StatusCode.UNIMPLEMENTED:
                sentence = (
                    f"{self._address} is not a ManMan API, or an older one that does not have this"
                    " call"
                )
            case grpc.StatusCode.INTERNAL:
                sentence = f"{error.details()}: see request_id {request_id} in the API's log"
            case _:
                sentence = str(error.details())
        return OperatorCallFailed(sentence, code)

    def _certificate_was_ignored(self, error: grpc.RpcError) -> bool:
        """Whether the API wants a key although this client has a certificate to present."""
        has_certificate = self._tls is not None and self._tls.client is not None
        return has_certificate and reason_in(error) == Reason.OPERATOR_KEY_REQUIRED


def _is_local(error: grpc.RpcError) -> bool:
    """Whether gRPC itself reports the error: an error of the API carries its status as metadata."""
    names = {item.key for item in error.trailing_metadata() or ()}
    return STATUS_DETAILS not in names
