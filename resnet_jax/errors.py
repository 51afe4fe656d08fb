"""Errors that a user can cause: one line (what, where, what to do) and an exit code.

0 done, 1 bug, 2 config or usage, 3 data, 4 checkpoint, 5 diverged, 6 storage,
130 interrupted and saved, 143 preempted and saved, or another process was lost.
"""


class UserError(Exception):
    """Error shown as one line, without a traceback."""

    kind = "usage"
    exit_code = 2


class ConfigError(UserError):
    """Invalid config, with one line per problem."""

    kind = "config"
    exit_code = 2


class DataError(UserError):
    """Missing or damaged data, or data that do not match the config."""

    kind = "data"
    exit_code = 3


class CheckpointError(UserError):
    """No usable checkpoint, or one of another config."""

    kind = "checkpoint"
    exit_code = 4


class DivergedError(UserError):
    """Non-finite loss or gradient."""

    kind = "diverged"
    exit_code = 5


class StorageError(UserError):
    """Full disk, or a folder that cannot be written."""

    kind = "storage"
    exit_code = 6


class MemoryShortage(UserError):
    """Not enough memory on the host or a device."""

    kind = "memory"
    exit_code = 6


class PeerLost(UserError):
    """Another process of a run that ended or does not answer."""

    kind = "peer"
    exit_code = 143


class Preempted(UserError):
    """Run that was stopped by SIGTERM and has saved its state (128 + 15)."""

    kind = "preempted"
    exit_code = 143


class Interrupted(Preempted):
    """Run that was stopped by SIGINT and has saved its state (128 + 2)."""

    kind = "interrupted"
    exit_code = 130
