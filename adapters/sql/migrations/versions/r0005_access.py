"""Access: keys of hosts and of operators, and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ROW_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "join_keys",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("environment", sa.String(100), nullable=False),
        sa.Column("name_pattern", sa.String(255), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("uses", sa.BigInteger),
        sa.Column("ephemeral", sa.Boolean, nullable=False),
        sa.Column("pre_approved", sa.Boolean, nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("expires_at", _moment()),
        sa.Column("revoked_at", _moment()),
        sa.PrimaryKeyConstraint("key_id", name="pk_join_keys"),
    )
    op.create_table(
        "join_key_uses",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("server_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("address", sa.String(100), nullable=False),
        sa.Column("first_at", _moment(), nullable=False),
        sa.Column("last_at", _moment(), nullable=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["key_id"], ["join_keys.key_id"], name="fk_join_key_uses_key_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key_id", "server_id", name="pk_join_key_uses"),
    )
    op.create_table(
        "operator_keys",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("expires_at", _moment()),
        sa.Column("revoked_at", _moment()),
        sa.PrimaryKeyConstraint("key_id", name="pk_operator_keys"),
    )
    op.create_table(
        "audit",
        sa.Column("entry_id", ROW_ID, nullable=False),
        sa.Column("at", _moment(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("credential_id", sa.String(64), nullable=False),
        sa.Column("address", sa.String(100), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("server_id", ROW_ID, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "signing_keys",
        sa.Column("key_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_signing_keys"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_server_id", "audit", ["server_id", "entry_id"])
