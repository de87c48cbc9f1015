"""The database: versions, backups, and what is said when it cannot be used."""

import contextlib
import sqlite3
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, insert, inspect, select, text

from sam_jax.data_engine.database import Database, DatabaseError, DatabaseFullError
from sam_jax.data_engine.journal import make_change
from sam_jax.data_engine.mask_states import read_mask
from sam_jax.data_engine.photos import add_photos, lease_photo
from sam_jax.data_engine.schema import changes, masks, metadata, photos
from sam_jax.data_engine.versions import list_versions
from sam_jax.types import InputError
from tests.data_engine.test_journal import draw


def write(database, act, *arguments):
    with database.writing() as connection:
        return act(connection, *arguments)


def test_the_tables_are_those_that_the_code_reads(database):
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_the_version_before_opens_with_what_is_in_it(address):
    with contextlib.closing(Database(address)) as old:
        old.migrate("0001")
        with old.writing() as connection:
            assert "verdict" not in {c["name"] for c in inspect(connection).get_columns("masks")}
            add_photos(connection, ["a.png"])
            connection.execute(
                text(
                    "INSERT INTO masks (id, photo_id, revision, state, stage, label, counts, area, clicks, strokes,"
                    " seconds, created_at, updated_at)"
                    " VALUES ('m', 1, 1, 'done', 1, 'cup', '051', 5, 2, 0, 9.5, 1, 2)"
                )
            )
    with contextlib.closing(Database(address)) as new, new.reading() as connection:
        row = connection.execute(select(masks)).mappings().one()
        assert (row["label"], row["seconds"], row["verdict"]) == ("cup", 9.5, None)
        assert list_versions(connection) == []


def test_versions_go_down_to_nothing_and_up_again(database):
    database.migrate("base")
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.migrate()
    with database.reading() as connection:
        assert {*metadata.tables} < {*inspect(connection).get_table_names()}


def test_a_database_of_a_newer_program_is_left_alone(address):
    with contextlib.closing(Database(address)) as database, database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match=r"version 9999, which this sam-jax does not know: update"):
        Database(address)


@pytest.mark.parametrize(
    "wrong", ["mysql://there/db", "postgresql+psycopg://nobody@127.0.0.1:1/none", "nonsense://x"]
)
def test_an_address_that_cannot_be_opened_is_an_error_of_one_line(wrong):
    with pytest.raises(InputError) as error:
        Database(wrong)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path):
    (tmp_path / "notes.sqlite").write_text("shopping list " * 100)
    with pytest.raises(InputError, match="cannot open the database"):
        Database(tmp_path / "notes.sqlite")


def test_a_backup_is_whole_while_people_work(tmp_path):
    database = Database(tmp_path / "masks.sqlite")
    with database.writing() as connection:
        add_photos(connection, ["a.png", "b.png"])
        leases = {number: lease_photo(connection, number, f"p{number}", None) for number in (1, 2)}
    ended = threading.Event()

    def work(number):
        while not ended.is_set():
            with database.writing() as connection:
                mask = read_mask(draw(), (6, 9))
                make_change(connection, number, leases[number], mask["id"], "click", mask)

    threads = [threading.Thread(target=work, args=(number,)) for number in leases]
    for thread in threads:
        thread.start()
    for number in range(5):
        database.back_up(tmp_path / f"{number}.sqlite")
    ended.set()
    for thread in threads:
        thread.join()
    sizes = []
    for number in range(5):
        with contextlib.closing(sqlite3.connect(tmp_path / f"{number}.sqlite")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        with contextlib.closing(Database(tmp_path / f"{number}.sqlite")) as copy:
            with copy.reading() as connection:
                count = connection.execute(select(func.count()).select_from(changes)).scalar_one()
                drawn = connection.execute(select(func.count()).select_from(masks)).scalar_one()
                noted = connection.execute(select(func.sum(photos.c.last_change))).scalar_one()
            assert count == drawn == noted
            sizes.append(count)
    assert sizes == sorted(sizes)
    database.close()


def test_what_a_full_disk_refuses_has_not_happened(tmp_path, full_disk):
    with contextlib.closing(Database(tmp_path / "masks.sqlite")) as database:
        with full_disk(), pytest.raises(DatabaseFullError, match="free some space"):
            write(database, add_photos, ["a.png"])
        with database.writing() as connection:
            assert connection.execute(select(func.count()).select_from(photos)).scalar_one() == 0
            add_photos(connection, ["b.png"])


def test_a_block_that_raises_leaves_nothing(database):
    def add_half(connection):
        add_photos(connection, ["a.png"])
        connection.execute(insert(masks).values(id="m", photo_id=1))  # what must be there is not

    with pytest.raises(DatabaseError, match="does not answer"):
        write(database, add_half)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(photos)).scalar_one() == 0
