"""The few statements that PostgreSQL and SQLite need in different forms."""

import json
from collections.abc import Callable, Collection
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Insert,
    Integer,
    Select,
    Table,
    Text,
    TypeDecorator,
    column,
    func,
    select,
    table,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType


class Ids(TypeDecorator[Collection[int]]):
    """Any number of server ids as one parameter."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text() if dialect.name == "sqlite" else _BigintArray()

    def process_bind_param(self, value: Collection[int] | None, dialect: Dialect) -> str:
        ids = json.dumps(list(value or ()))
        return ids if dialect.name == "sqlite" else f"{{{ids[1:-1]}}}"


class _BigintArray(UserDefinedType[str]):
    """Sent in the array syntax of PostgreSQL: psycopg2 takes ten times as long for a list."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "BIGINT[]"


class is_among(FunctionElement[bool]):  # noqa: N801 - named like the SQL function
    """`is_among(column, ids)`: whether the column is one of the ids, a parameter of type Ids."""

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
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # nosec  # noqa: S608 - of compiled parts


class random_uuid(FunctionElement[str]):  # noqa: N801 - named like the SQL function
    """`random_uuid()`: a new one for each row."""

    name = "random_uuid"
    type = Text()
    inherit_cache = True


@compiles(random_uuid, "postgresql")
def _random_uuid_on_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(gen_random_uuid() AS TEXT)"


@compiles(random_uuid, "sqlite")
def _random_uuid_on_sqlite(*_: Any, **__: Any) -> str:
    return "lower(hex(randomblob(16)))"


class json_rows(FunctionElement[Any]):  # noqa: N801 - named like the SQL function
    """`json_rows(text).table_valued("value")`: the elements of a JSON array as rows."""

    name = "json_rows"
    inherit_cache = True


@compiles(json_rows, "postgresql")
def _json_rows_on_postgresql(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements(CAST({compiler.process(element.clauses, **options)} AS JSON))"


@compiles(json_rows, "sqlite")
def _json_rows_on_sqlite(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


def insert_or_ignore(dialect: str, table: Table) -> Insert:
    return _INSERT[dialect](table).on_conflict_do_nothing()


def insert_or_replace(
    dialect: str,
    table: Table,
    rows: Select[Any] | None = None,
    *,
    only_where: ColumnElement[bool] | None = None,
) -> Insert:
    """Insert the rows, or one row from the parameters.

    If a row with the primary key exists and the condition holds for it, its other columns are
    overwritten.
    """
    if rows is None and only_where is None:
        return _insert_or_replace_one(dialect, table)
    return _or_replace(_INSERT[dialect](table), table, rows, only_where)


# To build it takes 0.4 ms, longer than the statement itself.
@cache
def _insert_or_replace_one(dialect: str, table: Table) -> Insert:
    return _or_replace(_INSERT[dialect](table), table)


def _or_replace(
    insert: postgresql.Insert,
    table: Table,
    rows: Select[Any] | None = None,
    only_where: ColumnElement[bool] | None = None,
) -> Insert:
    names = [column.name for column in table.columns]
    if rows is not None:
        insert = insert.from_select(names, rows)
    keys = [column.name for column in table.primary_key]
    return insert.on_conflict_do_update(
        index_elements=keys,
        set_={name: insert.excluded[name] for name in names if name not in keys},
        where=only_where,
    )


def next_id(connection: Connection, ids: Column[int]) -> int:
    """Take the next id of the table, so that no row gets it.

    The table must be one that never uses an id twice, and must have had a row before.
    """
    increment: Executable
    if connection.dialect.name == "postgresql":
        increment = select(func.nextval(func.pg_get_serial_sequence(ids.table.name, ids.name)))
    else:
        last = _SQLITE_SEQUENCE.c.seq
        increment = (
            update(_SQLITE_SEQUENCE)
            .where(_SQLITE_SEQUENCE.c.name == ids.table.name)
            .values(seq=last + 1)
            .returning(last)
        )
    number: int = connection.execute(increment).scalar_one()
    return number


# The table in which SQLite keeps the last id of each table with AUTOINCREMENT.
_SQLITE_SEQUENCE = table("sqlite_sequence", column("name", Text), column("seq", Integer))

# Both have the same methods, but no common class has them.
_INSERT: dict[str, Callable[[Table], postgresql.Insert]] = {
    "postgresql": postgresql.insert,
    "sqlite": cast("Callable[[Table], postgresql.Insert]", sqlite.insert),
}
