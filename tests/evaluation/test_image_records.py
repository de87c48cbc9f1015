import json

import pytest

from sam_jax.evaluation.image_records import RECORDS, RecordedRun
from sam_jax.types import InputError

NAMES = [f"{number}.jpg" for number in range(7)]


def square(index):
    return {"square": index**2}


def test_records_in_the_order_of_images_by_any_number_of_workers_and_processes(tmp_path):
    for process in (2, 0, 1):
        workers = [square] * (1 + process)
        assert [
            o.problem
            for o in RecordedRun(NAMES, workers, tmp_path, lambda record: True, process, 3)
        ] == [None] * (3 if process == 0 else 2)
    records = RecordedRun(NAMES, [square], tmp_path, lambda record: True).read_records()
    assert records == [square(index) for index in range(7)]


def test_what_is_done_is_left_alone_and_what_is_not_whole_is_no_record(tmp_path):
    (tmp_path / RECORDS).mkdir()
    (tmp_path / RECORDS / "000003.json").write_text(json.dumps({"square": "old"}))
    (tmp_path / RECORDS / ".000004.json.1.unfinished").write_text('{"squ')
    run = RecordedRun(NAMES, [square], tmp_path, lambda record: True)
    assert (run.to_do, run.done_before) == ([0, 1, 2, 4, 5, 6], 1)
    assert {outcome.name for outcome in run} == {*NAMES} - {"3.jpg"}
    assert [record["square"] for record in run.read_records()] == [0, 1, 4, "old", 16, 25, 36]


def test_a_bad_image_is_told_and_the_others_are_kept(tmp_path):
    def measure(index):
        if index == 2:
            raise InputError("no truth")
        return square(index)

    run = RecordedRun(NAMES, [measure], tmp_path, lambda record: True)
    assert [outcome for outcome in run if outcome.problem] == [("2.jpg", "no truth")]
    assert len(run.read_records()) == 6
    assert RecordedRun(NAMES, [measure], tmp_path, lambda record: True).to_do == [2]


def test_a_mistake_in_the_program_is_no_problem_of_an_image(tmp_path):
    def measure(index):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(RecordedRun(NAMES, [measure], tmp_path, lambda record: True))


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / RECORDS).write_text("a file")
    with pytest.raises(InputError, match="cannot write "):
        list(RecordedRun(NAMES, [square], tmp_path, lambda record: True))
