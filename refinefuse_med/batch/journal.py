"""The memory of a batch: what is done, by which settings, and who is at work on it.

``OUT/.batch`` holds ``run.json`` (the settings), a journal for each shard (one JSON object a
line), locks, thumbnails, and under ``work`` what is being written.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from refinefuse_med import __version__
from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.batch.plan import Pair
from refinefuse_med.errors import OutputError
from refinefuse_med.io import AtomicFolder, write_json

__all__ = ["STATE_FOLDER", "Journal", "Shard", "open_journal"]

STATE_FOLDER: Final = ".batch"
_SCHEMA: Final = 1
_SHARD_PATIENCE_S: Final = 10.0
"""How long a shard waits for another that looks at the locks in the same moment."""


@dataclass(frozen=True)
class Shard:
    """One of `of` equal parts of a batch, counted from 1."""

    number: int = 1
    of: int = 1

    def takes(self, pair: Pair) -> bool:
        """Whether a pair is of this part: decided by its name, not by its place in the plan."""
        return int(pair.name.rsplit("-", 1)[-1], 16) % self.of == self.number - 1

    @property
    def suffix(self) -> str:
        """For file names; empty for the whole."""
        return "" if self.of == 1 else f"-{self.number}-of-{self.of}"


WHOLE: Final = Shard()


@dataclass(frozen=True)
class Journal:
    """The state of a batch in its output folder, held by a lock."""

    out: Path
    shard: Shard
    settings: Mapping[str, Any]
    threads: int
    _last: dict[str, dict[str, Any]] = field(repr=False)
    work: Path = field(repr=False)

    def key_of(self, pair: Pair) -> str:
        """What the result of a pair follows from: images, settings, version."""
        images = [pair.anatomical.content, pair.functional.content]
        return _digest([*images, self.settings, __version__])

    def is_done(self, pair: Pair) -> bool:
        """Whether the pair's folder is there, and what these images and settings give."""
        return self.outcome_of(pair).status == "done"

    def outcome_of(self, pair: Pair) -> Outcome:
        """What the journals tell of a pair; pending where it was begun and not ended."""
        line = self._last.get(pair.name, {})
        there = line.get("status") != "done" or (self.out / pair.name).is_dir()
        if (
            line.get("key") == self.key_of(pair)
            and line.get("status") in ("done", "failed")
            and there
        ):
            return Outcome.from_dict(line)
        return Outcome(pair.name, "pending")

    def begin(self, pair: Pair) -> None:
        """Take note that the pair's folder may change from here on."""
        self._append({"name": pair.name, "status": "begun"}, pair)

    def end(self, pair: Pair, outcome: Outcome) -> None:
        """Put a finished result in its place, and take note of what became of the pair."""
        if outcome.status == "done":
            try:
                self._commit(pair.name)
            except OSError as error:
                raise OutputError(
                    f"cannot be put in place ({error.strerror})", where=self.out / pair.name
                ) from error
        self._append(asdict(outcome), pair)

    def thumbnail(self, name: str) -> Path:
        """Where the picture of a pair for the overview is kept."""
        return self.out / STATE_FOLDER / "thumbnails" / f"{name}.jpg"

    def _commit(self, name: str) -> None:
        place, old = self.out / name, self.work / f"old-{name}"
        if place.exists():
            place.rename(old)
        (self.work / name).rename(place)
        shutil.rmtree(old, ignore_errors=True)
        picture = self.work / f"{name}.jpg"
        if picture.exists():
            picture.replace(self.thumbnail(name))

    def _append(self, record: dict[str, Any], pair: Pair) -> None:
        line = {**record, "key": self.key_of(pair), "time": round(time.time(), 3)}
        self._last[pair.name] = line
        _append_line(_journal_file(self.out, self.shard), line)


@contextmanager
def open_journal(
    out: Path,
    settings: Mapping[str, Any],
    threads: int,
    shard: Shard = WHOLE,
    *,
    redo: bool = False,
) -> Iterator[Journal]:
    """Lock the output folder of a batch, and read what is known of it.

    Parameters
    ----------
    out : Path
        Made if it is not there. A folder with other things in it is refused.
    settings : mapping
        Everything that the results depend on beside the images, as JSON holds it.
    threads : int
        Of each worker: kept from the first run on, since sums differ in their last bits with
        the number of threads.
    shard : Shard
    redo : bool
        Do everything again, each result in place until its successor is complete; otherwise
        other settings than those of an earlier run are refused.

    Raises
    ------
    OutputError
        Another batch is at work here, the settings differ, or nothing can be written.
    """
    _refuse_others_folder(out)
    state = out / STATE_FOLDER
    try:
        (state / "thumbnails").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be made ({error.strerror})", where=out, hint="choose another output"
        ) from error
    with _locked(state, shard, out):
        threads = _agree(state / "run.json", settings, threads, out, redo=redo)
        work = state / "work" / f"{shard.number}-of-{shard.of}"
        shutil.rmtree(work, ignore_errors=True)  # of a run that was cut
        work = work / secrets.token_hex(4)
        work.mkdir(parents=True)
        last = {} if redo else _last_lines(state)
        try:
            yield Journal(out, shard, settings, threads, last, work)
        finally:
            shutil.rmtree(work.parent, ignore_errors=True)


def _refuse_others_folder(out: Path) -> None:
    if out.is_dir() and ((out / STATE_FOLDER).is_dir() or not any(out.iterdir())):
        if not os.access(out, os.W_OK | os.X_OK):
            raise OutputError("no permission to write here", where=out, hint="write elsewhere")
        return
    AtomicFolder(out).check()


@contextmanager
def _locked(state: Path, shard: Shard, out: Path) -> Iterator[None]:
    """Hold the lock of the whole, or of one shard: never both at once by two batches."""
    whole, patience = FileLock(state / "lock"), _SHARD_PATIENCE_S if shard.suffix else 0
    with ExitStack() as held:
        try:
            held.enter_context(whole.acquire(timeout=patience))
            if shard.suffix:
                own = FileLock(state / f"lock{shard.suffix}")
                kept = held.enter_context(ExitStack())
                kept.enter_context(own.acquire(timeout=0))
                whole.release()
            else:
                for path in state.glob("lock-*-of-*"):
                    FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            raise OutputError(
                "another batch is at work here", where=out, hint="wait for it, or write elsewhere"
            ) from None
        except OSError as error:
            raise OutputError(
                f"cannot be locked ({error.strerror})", where=out, hint="write elsewhere"
            ) from error
        yield


def _agree(path: Path, settings: Mapping[str, Any], threads: int, out: Path, *, redo: bool) -> int:
    """Keep or compare the settings of the run; give the threads that it works with."""
    run = {"schema": _SCHEMA, "version": __version__, "threads": threads, "settings": settings}
    if path.exists() and not redo:
        held = json.loads(path.read_text("utf-8"))
        changed = sorted(_differences(held.get("settings", {}), _as_json(settings)))
        if held.get("version") != __version__:
            changed.insert(0, "version")
        if changed:
            raise OutputError(
                f"holds a batch of other settings ({', '.join(changed[:3])})",
                where=out,
                hint="choose another output, or do all again with --if-exists overwrite",
            )
        return int(held["threads"])
    write_json(run, path)
    return threads


def _differences(one: Any, other: Any, name: str = "") -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {*one, *other}:
            yield from _differences(one.get(key), other.get(key), f"{name}.{key}".lstrip("."))
    elif one != other:
        yield name


def _last_lines(state: Path) -> dict[str, dict[str, Any]]:
    """The last line on each pair, of all journals; a line cut by a crash counts for nothing.

    Times decide between the journals of shards alone: within one, lines are in their order, also
    where the clock was put back.
    """
    lines: list[tuple[float, dict[str, Any]]] = []
    for path in sorted(state.glob("journal*.jsonl")):
        latest = 0.0
        for text in path.read_text("utf-8", "replace").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("name"), str):
                latest = max(latest, line.get("time", 0.0))
                lines.append((latest, line))
    return {line["name"]: line for _, line in sorted(lines, key=lambda item: item[0])}


def _journal_file(out: Path, shard: Shard) -> Path:
    return out / STATE_FOLDER / f"journal{shard.suffix}.jsonl"


def _append_line(path: Path, line: Mapping[str, Any]) -> None:
    # A line break first: the line before may have been cut by a crash.
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(line, ensure_ascii=False)}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot be written ({error.strerror})", where=path.parent) from error


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _digest(parts: Iterable[Any]) -> str:
    text = json.dumps(list(parts), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
