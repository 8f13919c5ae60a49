"""The few places where PostgreSQL and SQLite want to be asked differently."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Dialect,
    Insert,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine


class Ids(TypeDecorator[Collection[int]]):
    """Server ids as one parameter, however many they are."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        on_sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(Text() if on_sqlite else postgresql.ARRAY(BigInteger))

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> Any:
        ids = list(value or ())
        return json.dumps(ids) if dialect.name == "sqlite" else ids


class is_among(FunctionElement[bool]):  # noqa: N801 - reads as the function of SQL that it is
    """`is_among(column, ids)`: the column is one of the ids, a parameter of the type Ids."""

    name = "is_among"
    type = Boolean()
    inherit_cache = True


@compiles(is_among, "postgresql")
def _is_among_on_postgresql(element: is_among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(is_among, "sqlite")
def _is_among_on_sqlite(element: is_among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - of compiled parts


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
