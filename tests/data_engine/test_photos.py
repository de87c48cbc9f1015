"""Photos are leased to one person at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sam_jax.data_engine import photos as leases
from sam_jax.data_engine.photos import (
    ConflictError,
    MissingError,
    add_photos,
    finish_photo,
    lease_next,
    lease_photo,
    list_photo_rows,
    release_lease,
    renew_lease,
)


@pytest.fixture
def write(database):
    """Does something in a transaction."""

    def run(act, *arguments, **options):
        with database.writing() as connection:
            return act(connection, *arguments, **options)

    run(add_photos, ["a.png", "b.png", "c.png"])
    return run


def test_a_photo_has_one_holder_until_the_lease_expires(write, monkeypatch):
    lease = write(lease_photo, 1, "ann", None)
    with pytest.raises(ConflictError, match=r"ann is at work on a\.png"):
        write(lease_photo, 1, "bob", None)
    assert write(lease_photo, 1, "ann", lease) == lease  # the page was loaded again
    later = leases.time.time() + leases.LEASE_SECONDS + 1
    monkeypatch.setattr(leases.time, "time", lambda: later)
    taken = write(lease_photo, 1, "bob", None)
    with pytest.raises(ConflictError, match="bob has it now"):
        write(renew_lease, 1, lease)
    write(release_lease, 1, lease)  # of no effect any more
    write(renew_lease, 1, taken)


def test_the_next_photo_is_neither_finished_nor_somebody_elses(write):
    assert write(lease_next, "ann", None)[0] == 1
    number, lease = write(lease_next, "bob", None)
    assert number == 2
    write(finish_photo, 2, lease, is_finished=True)
    assert write(lease_next, "bob", 2)[0] == 3
    assert write(lease_next, "cyd", None) is None
    assert write(lease_next, "bob", None)[0] == 3  # in another tab, after this one was closed
    write(finish_photo, 2, lease, is_finished=False)
    write(release_lease, 2, lease)
    assert write(lease_next, "cyd", 3)[0] == 2  # after the last comes the first


def test_the_list_says_who_has_what(database, write):
    write(lease_photo, 3, "ann", None)
    with database.reading() as connection:
        assert [row["holder"] for row in list_photo_rows(connection, 0, 10)] == [None, None, "ann"]
        assert [row["path"] for row in list_photo_rows(connection, 1, 1)] == ["b.png"]
    with pytest.raises(MissingError, match="no photo has the number 4"):
        write(lease_photo, 4, "ann", None)


def test_people_who_ask_at_once_get_different_photos(write):
    write(add_photos, [f"{number}.png" for number in range(20)])
    with ThreadPoolExecutor(12) as pool:
        taken = list(pool.map(lambda who: write(lease_next, f"p{who}", None), range(12)))
    numbers = [number for number, _ in taken]
    assert len(set(numbers)) == 12
