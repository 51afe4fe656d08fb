"""Errors that a user can cause: one line each (what, where, what to do), one exit code.

0 done, 1 bug, 2 config or usage, 3 data, 4 checkpoint, 5 diverged, 6 storage,
143 preempted and saved.
"""


class UserError(Exception):
    """An error to be shown as one line, without a traceback."""

    kind = "usage"
    exit_code = 2


class ConfigError(UserError):
    """A field of the config is wrong; every problem found is listed."""

    kind = "config"
    exit_code = 2


class DataError(UserError):
    """Data is missing, damaged, or not what the config says it is."""

    kind = "data"
    exit_code = 3


class CheckpointError(UserError):
    """No usable checkpoint, or one that belongs to another config."""

    kind = "checkpoint"
    exit_code = 4


class DivergedError(UserError):
    """The loss or a gradient is not finite."""

    kind = "diverged"
    exit_code = 5


class StorageError(UserError):
    """A disk is full or a folder cannot be written."""

    kind = "storage"
    exit_code = 6


class Preempted(UserError):
    """The run was asked to stop, and has saved its state (128 + SIGTERM)."""

    kind = "preempted"
    exit_code = 143
