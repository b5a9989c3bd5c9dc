"""Statements that SQLAlchemy writes once and the driver runs from then on.

What a statement is belongs to the tables, so SQLAlchemy compiles it. Running it through
SQLAlchemy costs several times what SQLite itself does, and one webhook needs a dozen: those
on the way of an event or of an append are run by the driver, in the transaction of the
connection they are given. Errors are sqlite3's; `database.translate` knows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Boolean, Connection, Executable, RowMapping
from sqlalchemy.dialects import sqlite

from nvsx.store import database

Row = dict[str, Any] | RowMapping
"""Values by column name, whoever ran the statement."""


class Prepared:
    """A statement with named parameters. Compiled at its first use."""

    def __init__(self, statement: Executable) -> None:
        self._statement: Any = statement

    @cached_property
    def _compiled_sql(self) -> tuple[str, Mapping[str, Any]]:
        """The SQL, and the values that are part of the statement itself."""
        compiled = self._statement.compile(dialect=sqlite.dialect(paramstyle="named"))
        values = compiled.construct_params(_check=False)
        return str(compiled), {name: v for name, v in values.items() if v is not None}

    @cached_property
    def _column_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of a row's columns, and those of them that SQLite keeps as 0 and 1."""
        selected = self._statement.selected_columns
        flags = (c.key for c in selected if isinstance(c.type, Boolean))
        return tuple(c.key for c in selected), tuple(flags)

    def run(self, db: Connection, **values: Any) -> Any:
        """Run it; the driver's cursor."""
        sql, own = self._compiled_sql
        return database.raw(db).execute(sql, {**own, **values})

    def run_many(self, db: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of `rows`, which may be none."""
        if not rows:
            return
        sql, own = self._compiled_sql
        database.raw(db).executemany(sql, [{**own, **row} for row in rows] if own else rows)

    def first(self, db: Connection, **values: Any) -> Row | None:
        """The first row of a select; None when there is none."""
        found = self.run(db, **values).fetchone()
        return None if found is None else self._to_named_row(found)

    def all(self, db: Connection, **values: Any) -> list[Row]:
        """All rows of a select."""
        return [self._to_named_row(found) for found in self.run(db, **values)]

    def scalar(self, db: Connection, **values: Any) -> Any:
        """The first column of the first row; None when there is none."""
        found = self.run(db, **values).fetchone()
        return None if found is None else found[0]

    def _to_named_row(self, found: Sequence[Any]) -> Row:
        names, flags = self._column_names
        row: dict[str, Any] = dict(zip(names, found, strict=True))
        for name in flags:
            row[name] = bool(row[name])
        return row
