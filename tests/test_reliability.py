"""The page of faults and promises is up to date, and names tests that are run."""

from pathlib import Path

import pytest
import reliability

ROOT = Path(__file__).parents[1]


def test_the_page_of_promises_is_up_to_date():
    assert (ROOT / "docs" / "reliability.md").read_text() == reliability.page()


@pytest.mark.parametrize("number", reliability.ROWS)
def test_a_promise_has_tests_that_are_run(number):
    row = reliability.ROWS[number]
    assert row.tests
    for test in row.tests:
        file, _, name = test.partition("::")
        found = reliability.tests_in(file)
        assert name in found, f"tests/test_{file}.py has no test_{name}"
        assert not found[name].skipped, f"test_{name} is always skipped"


def test_every_fault_has_a_row():
    assert [row.number for row in reliability.FAULTS] == [str(n) for n in range(1, 31)]
    assert len(reliability.ROWS) == 36


def test_a_test_that_is_always_skipped_is_told_from_one_that_may_be(
    tmp_path, monkeypatch
):
    (tmp_path / "test_made.py").write_text(
        "pytestmark = pytest.mark.process\n"
        "@pytest.mark.skip(reason='')\ndef test_one(): ...\n"
        "@pytest.mark.skipif(windows)\ndef test_two(): ...\n"
        "def helper(): ...\n"
    )
    monkeypatch.setattr(reliability, "TESTS", tmp_path)
    assert reliability.tests_in("made") == {
        "one": reliability.Test("process", skipped=True),
        "two": reliability.Test("process", skipped=False),
    }
