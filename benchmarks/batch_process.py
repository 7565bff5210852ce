"""The batch as a process of its own, looked at from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

__all__ = ["COMMAND", "Watch", "ends_of", "lines_of", "start", "watched", "workers_of"]

COMMAND = [sys.executable, "-c", "from refinefuse_med.cli.main import main; main()", "batch"]


def start(root: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin a batch, or go on with it."""
    command = [*COMMAND, str(root), "-o", str(out), "-q", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Worker processes: those that were forked by a server of ours, or spawned."""
    try:
        children = psutil.Process(process.pid).children()
        forked = [own for child in children for own in child.children()]
        return forked or [each for each in children if "spawn_main" in " ".join(each.cmdline())]
    except psutil.Error:
        return []


def lines_of(out: Path) -> list[dict[str, Any]]:
    """What the journal tells, in the order in which it happened."""
    text = (out / ".batch" / "journal.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line]


def ends_of(out: Path) -> list[dict[str, Any]]:
    """Of these lines those of pairs that were fused."""
    return [line for line in lines_of(out) if line["status"] == "done"]


@dataclass(frozen=True)
class Watch:
    """What was seen of a process and its children, by number: times, bytes, CPU seconds."""

    seen: dict[int, list[tuple[float, int, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def peak(self, pid: int, since: float = 0.0, until: float = float("inf")) -> int:
        """Most resident bytes of a process between two times."""
        return max((rss for at, rss, _ in self.seen[pid] if since <= at <= until), default=0)

    def cpu_seconds(self, since: float, until: float) -> float:
        """CPU seconds of all processes between two times."""
        total = 0.0
        for samples in self.seen.values():
            spent = [cpu for at, _, cpu in samples if since <= at <= until]
            total += spent[-1] - spent[0] if spent else 0.0
        return total


@contextmanager
def watched(process: subprocess.Popen[bytes], every_s: float = 0.1) -> Iterator[Watch]:
    """Look at a process and its children until the context ends."""
    watch, over = Watch(), threading.Event()

    def look() -> None:
        root = psutil.Process(process.pid)
        while not over.wait(every_s):
            try:
                for each in (root, *root.children(recursive=True)):
                    times = each.cpu_times()
                    watch.seen[each.pid].append(
                        (time.time(), each.memory_info().rss, times.user + times.system)
                    )
            except psutil.Error:
                continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
