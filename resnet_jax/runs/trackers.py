"""Trackers that users look at runs with: TensorBoard, Weights & Biases.

They get the rows of the log, which stays the record of a run.
"""

import functools
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError

Row = Mapping[str, Any]  # as the log has it: JSON


@runtime_checkable
class Tracker(Protocol):
    """Receiver of the rows of a log."""

    def write(self, row: Row) -> None: ...

    def cut(self, step: int) -> None:
        """Forget the rows after `step`, which come again."""
        ...

    def close(self) -> None: ...


class TensorBoard:
    """TensorBoard event files, without TensorFlow."""

    def __init__(self, folder: pathlib.Path):
        # Checked by `train.experiment` before a run starts.
        import tensorboardX  # pyright: ignore[reportMissingImports]

        self._make = functools.partial(tensorboardX.SummaryWriter, str(folder))
        self._purge_step: int | None = None
        self._writer = None

    def write(self, row: Row) -> None:
        if self._writer is None:
            self._writer = self._make(purge_step=self._purge_step)
        for curve, value in _numbers(row):
            self._writer.add_scalar(curve, value, row["step"])

    def cut(self, step: int) -> None:
        self.close()
        self._writer, self._purge_step = None, step + 1

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class WeightsAndBiases:
    """Run of Weights & Biases under the id of the run, so that a resumed one goes on.

    Its files are in the folder of the run; WANDB_MODE=offline sends nothing.
    ConfigError where it cannot be begun.
    """

    def __init__(
        self, project: str, folder: pathlib.Path, *, run: str, config: Mapping[str, Any]
    ):
        import wandb  # pyright: ignore[reportMissingImports]

        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=project,
                id=run,
                name="/".join(folder.parts[-3:]),
                dir=str(folder),
                config=dict(config),
                resume="allow",
                reinit="create_new",
            )
        except wandb.errors.Error as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"train.wandb={project!r}: {told}; run `wandb login`, or set "
                "WANDB_MODE=offline"
            ) from error
        self._run.define_metric("*", step_metric="step")

    def write(self, row: Row) -> None:
        self._run.log({"step": row["step"], **dict(_numbers(row))})

    def cut(self, step: int) -> None:
        """Points that come again have the values that they had."""

    def close(self) -> None:
        self._run.finish()


def _numbers(row: Row) -> Iterator[tuple[str, float]]:
    """Numbers of a row by the name of their curve; the words in the row name it."""
    curve = "/".join(word for word in row.values() if isinstance(word, str))
    for name, value in row.items():
        if type(value) in (int, float) and name != "step":
            yield f"{curve}/{name}", value


def opened(folder: pathlib.Path, config: Config, *, run: str) -> tuple[Tracker, ...]:
    """Open the trackers that a config asks for."""
    found: list[Tracker] = []
    if config.train.tensorboard:
        found.append(TensorBoard(folder / "tensorboard"))
    if (project := config.train.wandb) is not None:
        fields = config.to_dict()
        found.append(WeightsAndBiases(project, folder, run=run, config=fields))
    return tuple(found)
