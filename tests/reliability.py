"""Faults, what a run promises for each, and the tests that hold it to the promise.

python tests/reliability.py > docs/reliability.md    writes the page
python tests/reliability.py 7 L2                     runs the tests of some rows
"""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

TESTS = pathlib.Path(__file__).parent
TIERS = ("process", "compile")
HEAD = """\
# Reliability

Made by `python tests/reliability.py > docs/reliability.md`; `pytest` compares the page,
and fails where a test that it names is gone or always skipped.

`python tests/reliability.py 7` runs the tests of row 7. Those of the tier `process` use
real signals, processes, full file systems, flipped bits and second processes on this
machine; the others call the command in the process of the test, where another process
would add nothing. "The same bits" are all leaves of the final state, compared byte for
byte with a run that was left alone on the same machine; its log has then the same rows
but for times. Codes: 0 done, 1 bug, 2 config or usage, 3 data, 4 checkpoint,
5 diverged, 6 storage, 130 interrupted and saved, 143 preempted and saved.
"""
TAIL = """\

## Longer than a test

`benchmarks/soak.py` hits one run of some thousand steps with faults of these kinds in
turn and compares its end with that of a run that was left alone; `benchmarks/fuzz.py`
tries random configs, damaged files and odd environments for tracebacks. What came of
them is in `benchmarks/soak.json` and `benchmarks/fuzz.json`, with seeds and versions.

## Not promised

- A call that never returns is not noticed by itself (row 28).
- Equal bits need the same versions, devices, number of visible cores and switches of
  jax (x64, random numbers, precision of products): a resume with others warns.
- A number edited inside a log is not noticed, but in the row of the result.
- The processes of a run share one folder, which takes locks.
- XLA ends a process at a flag in `XLA_FLAGS` that it does not know.
- Switches that ask jax for an exception, as `JAX_NUMPY_RANK_PROMOTION=raise`, get it,
  with its traceback.
- `best/` is verified when it is read, not when a run goes on.
"""


class Row(NamedTuple):
    """A fault, the promise, and its tests as FILE::NAME without test_ and .py."""

    number: str
    fault: str
    promise: str
    tests: tuple[str, ...]


FAULTS = (
    Row(
        "1",
        "Stopped, then the same command again",
        "0; the same bits, no row lost or doubled",
        (
            "resume::more_steps_continue_a_finished_run",
            "resume::a_signal_saves_the_current_step",
        ),
    ),
    Row(
        "2",
        "SIGKILL at random times",
        "the same bits; the rows of best and precise statistics too",
        (
            "resume::a_killed_run_ends_bit_for_bit_as_one_that_was_not",
            "resume::a_killed_run_keeps_its_best_and_its_precise_rows",
        ),
    ),
    Row(
        "3",
        "SIGKILL while a checkpoint is written",
        "the last whole checkpoint is used; what is half written goes",
        ("checkpoint::killed_inside_an_asynchronous_save",),
    ),
    Row(
        "4",
        "SIGTERM; a second signal",
        "143, the current step is saved; a second one ends the run at once",
        (
            "resume::a_signal_saves_the_current_step",
            "resume::a_second_signal_ends_a_run_at_once_and_a_second_run_is_refused",
        ),
    ),
    Row(
        "5",
        "SIGTERM to one of two processes",
        "143 in both, saved at the same step",
        ("processes::a_signal_to_one_process_stops_both_at_one_step",),
    ),
    Row(
        "6",
        "Exception in a user's code in mid-run",
        "1, with its traceback; the checkpoint that is being written is finished, "
        "FAILED says why",
        (
            "stopping::a_run_that_fails_says_why",
            "checkpoint::a_save_survives_an_exception_in_the_run",
        ),
    ),
    Row(
        "7",
        "Disk full, or the folder no longer writable, while a checkpoint is written",
        "6, naming folder, step and cause; the last good checkpoint and the log stay; "
        "with room the same command goes on to the same bits",
        (
            "resume::a_full_disk_keeps_the_last_good_checkpoint",
            "resume::a_disk_that_is_full_keeps_the_last_good_checkpoint",
            "resume::a_folder_that_cannot_be_written_any_more_ends_a_run",
            "log::a_full_disk_is_a_storage_error",
        ),
    ),
    Row(
        "8",
        "One bit flipped in the newest checkpoint",
        "found; set aside as corrupt-N with a loud warning; the one before is used",
        (
            "resume::a_damaged_checkpoint_is_not_used",
            "checkpoint::a_flipped_bit_in_the_arrays_is_found",
        ),
    ),
    Row(
        "9",
        "Any file of the newest checkpoint removed, emptied, halved or flipped",
        "never wrong values: restored whole, or the one before is used",
        ("checkpoint::no_damage_to_any_file_gives_wrong_values",),
    ),
    Row(
        "10",
        "Stray step folder above the newest",
        "set aside; later checkpoints are written",
        ("checkpoint::a_stray_step_above_the_newest",),
    ),
    Row(
        "11",
        "All checkpoints damaged",
        "4; nothing starts from zero, nothing changes",
        (
            "resume::no_usable_checkpoint_is_not_a_fresh_start",
            "checkpoint::all_damaged_is_an_error_and_stays_one",
        ),
    ),
    Row(
        "12",
        "Another network, optimizer or dtype than the checkpoint's",
        "4; the changed fields, and the parameters with both shapes and dtypes; "
        "nothing changes",
        (
            "resume::another_model_is_refused",
            "checkpoint::another_model_is_refused_by_name",
        ),
    ),
    Row(
        "13",
        "Other data: seed, batch, split, version, pixels",
        "4; field, old and new value; `--allow_data_change` goes on",
        (
            "resume::other_data_are_refused",
            "resume::another_version_of_the_data_is_refused",
            "resume::other_pixels_of_the_same_name_and_length_are_refused",
            "resume::other_data_are_taken_where_they_are_asked_for",
        ),
    ),
    Row(
        "14",
        "1, 2, 4, then 8 devices",
        "every example once, in its step; losses within 1e-5, parameters within 1e-6 "
        "of a run on two devices",
        ("resume::a_run_goes_on_with_other_devices_and_processes",),
    ),
    Row(
        "15",
        "One process, then two, then one",
        "as 14",
        (
            "resume::a_run_goes_on_with_other_devices_and_processes",
            "processes::a_signal_to_one_process_stops_both_at_one_step",
        ),
    ),
    Row(
        "16",
        "Batch that the devices cannot share",
        "2, naming both numbers; nothing is created",
        ("main::three_devices_cannot_share_a_batch",),
    ),
    Row(
        "17",
        "One of two processes killed",
        "the other ends within a minute, by one line and 143 or by an abort of jax; "
        "the same command goes on, with one process too",
        ("processes::a_killed_process_ends_the_other",),
    ),
    Row(
        "18",
        "A process whose peer never starts",
        "2 within five minutes, one line; nothing is created",
        ("environment::a_process_whose_peer_never_starts_gives_up",),
    ),
    Row(
        "19",
        "NaN in one batch",
        "0, the update left out and counted; without leave to skip 5, the state finite",
        (
            "main::a_batch_of_nan_is_left_out_and_counted",
            "main::a_batch_of_nan_stops_a_run_that_may_skip_none",
        ),
    ),
    Row(
        "20",
        "Divergence",
        "5 within a few steps; the row is written, the newest checkpoint finite",
        ("main::divergence_ends_a_run_and_spares_its_checkpoints",),
    ),
    Row(
        "21",
        "Validation loss that is not finite",
        "never the best",
        ("selection::an_evaluation_that_is_not_finite_is_never_the_best",),
    ),
    Row(
        "22",
        "Data damaged: flipped bits, shards cut or missing, images that do not decode",
        "3, naming file, split or index; no example is skipped",
        (
            "main::a_flipped_bit_in_the_records_is_named",
            "main::a_bad_example_is_named",
            "data_sources::no_flipped_bit_is_silent",
            "data_sources::truncated_and_missing_shards",
            "data_tfrecord::no_flipped_bit_is_silent",
        ),
    ),
    Row(
        "23",
        "Labels of no class, images of another size, other number of classes",
        "3 before the first step, with index and value",
        (
            "data_opening::labels_of_no_class_are_told_first",
            "main::a_label_past_the_last_class_is_named",
            "main::a_bad_example_is_named",
            "main::the_classes_of_model_and_data_differ",
        ),
    ),
    Row(
        "24",
        "A process that decodes data killed",
        "3; no batch is skipped",
        ("data_streaming::worker_processes_change_nothing",),
    ),
    Row(
        "25",
        "Config: misspelt, of a wrong type, out of range; folder that is a file or "
        "read-only; odd environment",
        "2, every problem in a line with its field; nothing is created",
        (
            "main::a_wrong_field_is_named_and_nothing_made",
            "main::the_workdir_is_a_file",
            "main::the_workdir_cannot_be_written",
            "environment::a_variable_that_a_library_refuses_is_one_line",
            "environment::processes_that_cannot_be_are_told",
        ),
    ),
    Row(
        "26",
        "Log: torn tail, garbage, rows twice; a second writer",
        "repaired, the old lines kept aside; the second command is refused with 2",
        (
            "log::a_torn_tail_is_set_aside",
            "log::lines_that_are_no_rows_are_taken_out_and_kept_aside",
            "log::rows_that_contradict_each_other_are_both_taken_out",
            "resume::a_second_signal_ends_a_run_at_once_and_a_second_run_is_refused",
        ),
    ),
    Row(
        "27",
        "Hostile files: archives that leave their folder, image bombs, markup in names",
        "3, or escaped; nothing is run or written outside",
        (
            "data_cifar::hostile_members_are_never_written",
            "data_sources::a_decompression_bomb_is_not_unpacked",
            "report_files::text_from_logs_stays_text",
        ),
    ),
    Row(
        "28",
        "A call that hangs",
        "no watchdog; two signals end the run at once, all checkpoints stay",
        (
            "resume::a_second_signal_ends_a_run_at_once_and_a_second_run_is_refused",
            "processes::a_second_signal_ends_a_process_at_once",
        ),
    ),
    Row(
        "29",
        "Checkpoint of an older version, of other libraries",
        "goes on: the same bits under the versions it was made with, else a warning",
        (
            "old_run::an_old_run_goes_on_bit_for_bit",
            "checkpoint::other_versions_are_only_a_warning",
        ),
    ),
    Row(
        "30",
        "Test set that no batch or number of devices divides",
        "every example counted once",
        (
            "parallel::evaluation_counts_each_example_once",
            "data_pipeline::examples_are_whole_and_counted_once",
            "data_streaming::evaluation_reads_every_example_once",
        ),
    ),
)
LOST_WORK = (
    Row(
        "L1",
        "SIGTERM to one of two processes that make several updates a call",
        "143 in both, at the same step (Ctrl-C to one: 130 there, 143 in the other)",
        ("processes::a_signal_to_one_process_stops_both_at_one_step",),
    ),
    Row(
        "L2",
        "SIGTERM or Ctrl-C while compiling, evaluating, recomputing statistics, "
        "writing",
        "143 or 130 between two batches; the newest state is saved, and the same "
        "bits come of it",
        (
            "stopping::a_signal_in_any_phase_loses_nothing",
            "resume::a_signal_saves_the_current_step",
            "stopping::a_signal_at_the_start_is_not_swallowed",
            "stopping::a_signal_before_the_first_step_is_heard",
            "stopping::a_second_signal_of_either_kind_is_not_handled",
        ),
    ),
    Row(
        "L3",
        "Checkpoints of another run; config.json gone; with DONE there, too",
        "4; one id is in config.json, log and checkpoints, which evaluate asks as well",
        (
            "run_identity::the_id_of_a_run_is_in_config_log_and_checkpoints",
            "run_identity::checkpoints_of_another_run_are_refused",
            "run_identity::other_commands_refuse_them_too",
            "run_identity::a_finished_run_is_looked_at_again",
            "run_identity::checkpoints_without_config_are_of_an_unknown_run",
        ),
    ),
    Row(
        "L4",
        "checkpoints/ gone, the log there",
        "4; `--restart` begins again and keeps the old files aside",
        (
            "run_identity::a_log_without_its_checkpoints_is_not_begun_again",
            "run_identity::restart_keeps_the_old_files_aside",
        ),
    ),
    Row(
        "L5",
        "Log with holes: gone, rows missing, garbage between; numbers of the last row "
        "edited",
        "made again from an older checkpoint, else 4; report refuses contradictions",
        (
            "run_identity::a_log_that_is_gone_is_not_written_on",
            "run_identity::a_row_that_is_lost_is_made_again_from_an_older_checkpoint",
            "run_identity::a_row_that_no_checkpoint_can_make_again_is_missed",
            "run_identity::garbage_in_a_log_is_taken_out",
            "log::ten_megabytes_of_garbage_are_taken_out",
            "report_identity::doubled_rows_with_other_values_are_refused",
            "report_identity::a_result_that_the_log_contradicts_is_refused",
            "report_identity::a_result_without_its_row_is_refused",
            "report_identity::one_run_under_two_seeds_is_refused",
            "report_identity::rows_behind_the_end_are_refused_whatever_the_interval",
        ),
    ),
    Row(
        "L6",
        "A run ended early and made longer; a row named crop+cutout",
        "the rows of a run that was always long; reported under its name",
        (
            "run_identity::a_run_made_longer_is_one_that_was_always_long",
            "report_identity::a_row_name_with_a_plus_is_reported",
        ),
    ),
)
ROWS = {row.number: row for row in FAULTS + LOST_WORK}


class Test(NamedTuple):
    """A test function: its tier, and whether it is skipped whatever happens."""

    tier: str
    skipped: bool


def tests_in(name: str) -> dict[str, Test]:
    """The tests of tests/test_<name>.py by name, read without importing them."""
    tree = ast.parse((TESTS / f"test_{name}.py").read_text())
    marks = [
        ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    return {
        node.name.removeprefix("test_"): _test(node, marks)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def _test(node: ast.FunctionDef, marks: list[str]) -> Test:
    marks = [*marks, *map(ast.unparse, node.decorator_list)]
    found = (tier for tier in TIERS if any(f"mark.{tier}" in mark for mark in marks))
    skipped = any(".skip(" in mark or mark.endswith(".skip") for mark in marks)
    return Test(next(found, "unit"), skipped)


def page() -> str:
    """Text of docs/reliability.md."""
    sections = {"Faults": FAULTS, "Work that could be lost": LOST_WORK}
    return HEAD + "".join(_section(*section) for section in sections.items()) + TAIL


def _section(title: str, rows: tuple[Row, ...]) -> str:
    lines = [
        f"\n## {title}\n",
        "| # | fault | promise | tests, and their tier | command |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        tests = "<br>".join(map(_named, row.tests))
        command = f"`python tests/reliability.py {row.number}`"
        cells = (row.number, row.fault, row.promise, tests, command)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _named(test: str) -> str:
    file, _, name = test.partition("::")
    return f"`test_{file}.py::test_{name}` ({tests_in(file)[name].tier})"


def paths(numbers: list[str]) -> Iterator[str]:
    """Arguments for pytest: the tests of some rows, each once."""
    chosen = (test for number in numbers for test in ROWS[number].tests)
    for test in dict.fromkeys(chosen):
        file, _, name = test.partition("::")
        yield f"{TESTS / f'test_{file}.py'}::test_{name}"


if __name__ == "__main__":
    if numbers := sys.argv[1:]:
        command = [sys.executable, "-m", "pytest", "-m", "", "-n", "0"]
        sys.exit(subprocess.call([*command, *paths(numbers)]))
    print(page(), end="")
