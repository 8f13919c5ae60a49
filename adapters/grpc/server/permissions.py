"""The permissions: which callers may make which calls."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.errors import RoleTooLow
from domain.role import Role
from protos.manman.v1 import manman_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ManManAPI"]


@dataclass(frozen=True, slots=True)
class Permission:
    """`role` is the lowest role of an operator that may make the call, None for a call of hosts,
    which have keys of their own. Calls with `changes` are recorded in the audit log."""

    role: Role | None
    changes: bool = False

    @property
    def is_for_hosts(self) -> bool:
        return self.role is None

    def check(self, role: Role) -> None:
        """Raises RoleTooLow unless an operator of this role may make the call."""
        if self.role and not role.includes(self.role):
            raise RoleTooLow(self.role, role)


HOST = Permission(None)
VIEWER_READS = Permission(Role.VIEWER)
OPERATOR_READS = Permission(Role.OPERATOR)
OPERATOR_CHANGES = Permission(Role.OPERATOR, changes=True)
ADMIN_READS = Permission(Role.ADMIN)
ADMIN_CHANGES = Permission(Role.ADMIN, changes=True)

PERMISSIONS: Mapping[str, Permission] = {
    "RegisterServer": HOST,
    "Heartbeat": HOST,
    "FetchConfiguration": HOST,
    "Deregister": HOST,
    "RenewCertificate": HOST,
    "GetTrustBundle": HOST,
    "ListServers": VIEWER_READS,
    "GetServer": VIEWER_READS,
    "ExplainServer": VIEWER_READS,
    "ListDeletedServers": VIEWER_READS,
    "ListConflicts": VIEWER_READS,
    "GetConflict": VIEWER_READS,
    "ListWouldReject": VIEWER_READS,
    "GetConfiguration": VIEWER_READS,
    "ListConfigurations": VIEWER_READS,
    "GetEffectiveConfiguration": VIEWER_READS,
    "CreateServer": OPERATOR_CHANGES,
    "UpdateServer": OPERATOR_CHANGES,
    "LabelServer": OPERATOR_CHANGES,
    "RefreshServer": OPERATOR_CHANGES,
    "DeleteServer": OPERATOR_CHANGES,
    "RestoreServer": OPERATOR_CHANGES,
    "PruneServers": OPERATOR_CHANGES,
    "MergeServers": OPERATOR_CHANGES,
    "ApproveServer": OPERATOR_CHANGES,
    "RejectServer": OPERATOR_CHANGES,
    "BanServer": OPERATOR_CHANGES,
    "ResolveConflict": OPERATOR_CHANGES,
    "PutConfiguration": OPERATOR_CHANGES,
    "DeleteConfiguration": OPERATOR_CHANGES,
    "CreateJoinKey": OPERATOR_CHANGES,
    "ListJoinKeys": OPERATOR_READS,
    "ListJoinKeyUses": OPERATOR_READS,
    "RevokeJoinKey": OPERATOR_CHANGES,
    "CreateOperatorKey": ADMIN_CHANGES,
    "ListOperatorKeys": ADMIN_READS,
    "RevokeOperatorKey": ADMIN_CHANGES,
    "ListAudit": ADMIN_READS,
}


class PermissionMismatch(Exception):
    """A call of the contract has no permission, or a permission belongs to no call."""


def check_permissions(
    calls: Iterable[str], permissions: Mapping[str, Permission] = PERMISSIONS
) -> None:
    """Raises PermissionMismatch."""
    unmatched = sorted(set(calls) ^ permissions.keys())
    if unmatched:
        raise PermissionMismatch(f"PERMISSIONS and the contract differ in {', '.join(unmatched)}")


# A call without a permission must not be served to any caller.
check_permissions(method.name for method in SERVICE.methods)
