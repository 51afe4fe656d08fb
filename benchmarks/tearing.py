"""Faults of the files of a run, between two starts of its command."""

import dataclasses
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Literal

Hit = Callable[[pathlib.Path, random.Random], str]


@dataclasses.dataclass(frozen=True)
class Resting:
    """Damage to a run that rests: `hit(workdir, rng)` does it, and says to what.

    `refused` says whether the command may then end with 4, for want of what is gone.
    """

    hit: Hit
    refused: Literal["never", "perhaps", "always"]


def steps(workdir: pathlib.Path) -> list[pathlib.Path]:
    """Checkpoints, the newest first; no empty folders."""
    found = (workdir / "checkpoints").glob("[0-9]*/meta")
    found = [path.parent for path in found if path.parent.name.isdecimal()]
    return sorted(found, key=lambda path: -int(path.name))


def lines(workdir: pathlib.Path) -> list[bytes]:
    return (workdir / "metrics.jsonl").read_bytes().splitlines(keepends=True)


def rewrite(workdir: pathlib.Path, new: list[bytes]) -> None:
    (workdir / "metrics.jsonl").write_bytes(b"".join(new))


def torn_row(workdir: pathlib.Path, rng: random.Random) -> str:
    """Cut off a part of the last row."""
    *rest, last = lines(workdir)
    rewrite(workdir, [*rest, last[: rng.randrange(1, len(last) - 1)]])
    return "last row"


def tail(workdir: pathlib.Path, rng: random.Random) -> str:
    """Append part of a row, as a kill within a write leaves it."""
    row = rng.choice(lines(workdir))
    with open(workdir / "metrics.jsonl", "ab") as file:
        file.write(row[: rng.randrange(1, len(row) - 1)])
    return "tail"


def garbage(workdir: pathlib.Path, rng: random.Random) -> str:
    """Put random bytes, NUL bytes or text between two rows."""
    kinds = [rng.randbytes(rng.randrange(1, 5000)), b"\0" * 4096, b"{}", b"<html>"]
    found, at = lines(workdir), rng.randrange(len(lines(workdir)) + 1)
    rewrite(workdir, [*found[:at], rng.choice(kinds) + b"\n", *found[at:]])
    return f"before line {at + 1}"


def doubled(workdir: pathlib.Path, rng: random.Random) -> str:
    """Repeat a row."""
    found, at = lines(workdir), rng.randrange(len(lines(workdir)))
    rewrite(workdir, [*found[:at], found[at], *found[at:]])
    return f"line {at + 1}"


def lost(workdir: pathlib.Path, rng: random.Random) -> str:
    """Take out a row."""
    found, at = lines(workdir), rng.randrange(len(lines(workdir)))
    rewrite(workdir, [*found[:at], *found[at + 1 :]])
    return f"line {at + 1}"


def damaged(step: pathlib.Path, rng: random.Random, how: str) -> str:
    """Damage one file of a checkpoint in one of three ways."""
    data = [p for p in sorted(step.rglob("d/*")) if p.is_file()]
    file = rng.choice(data)
    content = bytearray(file.read_bytes())
    if how == "flip":
        file = max(data, key=lambda path: path.stat().st_size)
        content = bytearray(file.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
    elif how == "cut":
        file.write_bytes(content[: rng.randrange(len(content))])
    else:
        file.unlink()
    return f"{step.name}: {file.relative_to(step)}"


def of_newest(how: str) -> Hit:
    return lambda workdir, rng: damaged(steps(workdir)[0], rng, how)


def all_damaged(workdir: pathlib.Path, rng: random.Random) -> str:
    """Put zeros into all arrays of every checkpoint; not every file is read."""
    for step in steps(workdir):
        for file in filter(pathlib.Path.is_file, step.rglob("d/*")):
            file.write_bytes(bytes(file.stat().st_size))
    return " ".join(step.name for step in steps(workdir))


def stray(workdir: pathlib.Path, rng: random.Random) -> str:
    """Make an empty step above the newest, and folders with other names."""
    newest = int(steps(workdir)[0].name)
    made = str(newest + rng.randrange(1, 10_000))
    for name in (made, f"{made}.bak", f"{made}.orbax-checkpoint-tmp", "notes"):
        (workdir / "checkpoints" / name).mkdir(exist_ok=True)
    return made


def overwritten(*names: str) -> Hit:
    """Put something else into one of these files, or cut it."""

    def hit(workdir: pathlib.Path, rng: random.Random) -> str:
        file = workdir / rng.choice(names)
        old = file.read_bytes() if file.exists() else b""
        kinds = [b"", b"[]", b"{", rng.randbytes(100), old[: len(old) // 2]]
        file.write_bytes(rng.choice(kinds))
        return file.name

    return hit


def gone(name: str) -> Hit:
    """Remove a file or a folder."""

    def hit(workdir: pathlib.Path, rng: random.Random) -> str:
        place = workdir / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        return name

    return hit


RESTING = {
    "last row torn": Resting(torn_row, "perhaps"),
    "torn tail": Resting(tail, "never"),
    "garbage between rows": Resting(garbage, "never"),
    "a row twice": Resting(doubled, "never"),
    "a row lost": Resting(lost, "perhaps"),
    "bit flipped in the newest checkpoint": Resting(of_newest("flip"), "perhaps"),
    "file cut in the newest checkpoint": Resting(of_newest("cut"), "perhaps"),
    "file removed from the newest checkpoint": Resting(of_newest("gone"), "perhaps"),
    "stray step folder": Resting(stray, "never"),
    "STOPPED or .lock overwritten": Resting(overwritten("STOPPED", ".lock"), "never"),
    "all checkpoints damaged": Resting(all_damaged, "always"),
    "checkpoints gone": Resting(gone("checkpoints"), "always"),
    "log gone": Resting(gone("metrics.jsonl"), "always"),
    "config.json or env.json overwritten": Resting(
        overwritten("config.json", "env.json"), "always"
    ),
    "config.json gone": Resting(gone("config.json"), "always"),
}
