"""The few places where PostgreSQL and SQLite want to be asked differently."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    Table,
    any_,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite


def is_among(
    connection: Connection, column: ColumnElement[int], ids: Collection[int]
) -> ColumnElement[bool]:
    """The column is one of the ids, which are sent as one parameter however many they are."""
    if connection.dialect.name == "sqlite":
        return column.in_(
            select(func.json_each(json.dumps(list(ids))).table_valued("value").c.value)
        )
    return column == any_(literal(list(ids), postgresql.ARRAY(BigInteger)))


def insert_or_ignore(connection: Connection, table: Table) -> Insert:
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


def insert_or_replace(connection: Connection, table: Table) -> Insert:
    """Insert rows, or write all their other columns where the primary key is there already."""
    keys = [column.name for column in table.primary_key]
    insert: Any = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    others = {
        column.name: insert.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    statement: Insert = insert.on_conflict_do_update(index_elements=keys, set_=others)
    return statement
