"""The database: opened, brought to the version of today, and used in transactions that happen whole or not at all."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sam_jax.storage import resumable_file
from sam_jax.types import InputError, RunError

FILE_NAME = "annotations.sqlite"
"""The database of a folder of photos, in that folder, where no other is named."""
BUSY_SECONDS = 30


class DatabaseError(RunError):
    """The database cannot be reached, or cannot take more; what was begun has not happened."""


class DatabaseFullError(DatabaseError):
    """The disk under the database is full."""


class Database:
    """A database of annotations: SQLite in a file, or PostgreSQL by its address.

    Args:
        address: Path of an SQLite file, which is made where it is missing, or SQLAlchemy's address of a database:
            `sqlite:///PATH`, `postgresql+psycopg://USER:PASSWORD@HOST/NAME`.

    Raises:
        InputError: The address is none, the database cannot be opened, or a newer version of this program made it.
        DatabaseError: The database cannot be brought to the version of today.
    """

    def __init__(self, address: str | Path) -> None:
        text = str(address)
        self._url = text if "://" in text else f"sqlite:///{Path(address).absolute()}"
        self._engine = _connect(self._url)
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite has one writer at a time, and lets those who wait try again now and then; a lock lets them in by turns.
        self._writing = threading.Lock() if self.is_sqlite else contextlib.nullcontext()
        try:
            self.migrate()
        except DatabaseError as error:
            self.close()
            raise InputError(f"cannot open the database {self.name}: {error}") from error
        except InputError:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The address without the password."""
        return self._engine.url.render_as_string(hide_password=True)

    @property
    def path(self) -> Path | None:
        """The file of an SQLite database; None for one on a server."""
        return Path(self._engine.url.database or "") if self.is_sqlite else None

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads.

        Raises:
            DatabaseError: The database cannot be reached.
        """
        with _explaining(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; if the block raises, none of it has happened.

        Raises:
            DatabaseError: The database cannot be reached, or its disk is full.
        """
        with _explaining(), self._writing, self._engine.connect() as connection:
            writer = connection.execution_options(is_writer=True)
            with writer.begin():
                yield writer

    def migrate(self, version: str = "head") -> None:
        """Bring the tables to a version, up or down.

        Raises:
            InputError: A newer version of this program made the database.
            DatabaseError: The database cannot be reached.
        """
        config = Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        script = ScriptDirectory.from_config(config)
        with self.writing() as connection:
            config.attributes["connection"] = connection
            known = [revision.revision for revision in script.walk_revisions()]  # newest first
            current = MigrationContext.configure(connection).get_current_revision()
            if current is not None and current not in known:
                raise InputError(
                    f"{self.name} is of version {current}, which this sam-jax does not know: update sam-jax"
                )
            target = known[0] if version == "head" else version
            is_down = current is not None and (
                target == "base" or known.index(target) > known.index(current)
            )
            (command.downgrade if is_down else command.upgrade)(config, target)

    def back_up(self, path: Path) -> None:
        """Write a copy of an SQLite database that is whole, also while people work.

        Raises:
            InputError: The database is not SQLite, or the path cannot be written to.
            DatabaseError: The database cannot be read.
            RunError: The disk is full.
        """
        if not self.is_sqlite:
            raise InputError(f"{self.name} is backed up by its own tools: pg_dump")
        with resumable_file(path) as unfinished, _explaining(), self.reading() as connection:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            with contextlib.closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def insert_missing(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows that don't meet one that is there, whoever else inserts them at the same time."""
    if not rows:
        return
    kinds = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    insert = kinds[connection.dialect.name](table).on_conflict_do_nothing()
    connection.execute(insert, rows)


def _connect(url: str) -> Engine:
    kind = url.partition(":")[0].partition("+")[0]
    if kind not in ("sqlite", "postgresql"):
        raise InputError(f"a database is of sqlite or postgresql, not of {kind}")
    try:
        if url.startswith("sqlite:"):
            engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(
            url, pool_size=10, max_overflow=20, pool_pre_ping=True, pool_timeout=BUSY_SECONDS
        )
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise InputError(
            f"{url.partition('@')[0].partition(':')[0]}... is no address of a database, as "
            f"sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME: {error}"
        ) from error
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed: pip install 'sam-jax[engine]'") from error


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # Transactions begin where `_begin_sqlite` says, not where the driver guesses.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    is_writer = connection.get_execution_options().get("is_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


@contextlib.contextmanager
def _explaining() -> Iterator[None]:
    """Turn the driver's errors into a line.

    Raises:
        DatabaseError: The database did not do what it was asked for.
    """
    try:
        yield
    except (DBAPIError, PoolTimeout, sqlite3.Error) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        is_full = any(sign in reason.lower() for sign in ("is full", "no space left", "disk i/o"))
        kind = DatabaseFullError if is_full else DatabaseError
        advice = "; free some space" if is_full else ""
        raise kind(f"the database does not answer: {reason}{advice}") from error
