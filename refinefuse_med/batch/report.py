"""What a batch leaves to read: ``batch.json`` and ``batch.csv`` for machines, ``index.html``."""

from __future__ import annotations

import base64
import csv
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from refinefuse_med import __version__
from refinefuse_med.batch.journal import Journal
from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.batch.plan import BatchPlan, Pair, Scan
from refinefuse_med.batch.watcher import Watcher
from refinefuse_med.errors import OutputError
from refinefuse_med.io import atomic_file, write_json
from refinefuse_med.io.wording import RESEARCH_ONLY

__all__ = ["Recorder", "Reporter"]

RECORD_EVERY_S: Final = 10.0
PAGE_EVERY_S: Final = 60.0

SCHEMA: Final = 2
"""Version of ``batch.json``."""

_COLUMNS: Final = (
    "name",
    "person",
    "anatomical",
    "functional",
    "status",
    "verdict",
    "method",
    "error",
    "exit_status",
    "warnings",
    "seconds",
    "registration_seconds",
    "fusion_seconds",
    "out",
)
_WHO: Final = ("patient_id", "anatomical_path", "functional_path")

_LINKS: Final = {"report": "report.html", "preview": "preview.png", "record": "result.json"}

_MOST_REASONS: Final = 50
"""On the page; ``batch.json`` has them all."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reporter:
    """Writes the record of a batch, whole each time, from the plan and the journal.

    Attributes
    ----------
    plan : BatchPlan
    journal : Journal
    identify : bool
        Whether to name patients, series and paths. Without, a pair is known by its pseudonym.
    """

    plan: BatchPlan
    journal: Journal
    identify: bool = False

    def write(self, *, page: bool = True) -> None:
        """Write ``batch.json`` and ``batch.csv``, and the page where wanted.

        Raises
        ------
        OutputError
            They cannot be written.
        """
        rows = [(pair, self.journal.outcome_of(pair)) for pair in self.plan.pairs]
        self._write_json(rows)
        self._write_csv(rows)
        if page:
            self._write_page(rows)

    def _write_json(self, rows: list[tuple[Pair, Outcome]]) -> None:
        record = {
            "schema": SCHEMA,
            "version": __version__,
            "settings": self.journal.settings,
            "counts": _counts(rows),
            "pairs": [self._entry(*row) for row in rows],
            "left_out": [
                {"modality": item.modality, "reason": item.reason}
                | ({"path": item.path, "file": item.where} if self.identify else {})
                for item in self.plan.left_out
            ],
        }
        write_json(record, self.journal.out / "batch.json")

    def _entry(self, pair: Pair, outcome: Outcome) -> dict[str, Any]:
        return {
            "name": pair.name,
            "person": pair.person,
            "anatomical": self._scan(pair.anatomical),
            "functional": self._scan(pair.functional),
            "reason": pair.reason,
            "days_apart": pair.days_apart,
            "status": outcome.status,
            "verdict": outcome.verdict,
            "method": outcome.method,
            "error": outcome.error,
            "exit_status": outcome.exit_status,
            "warnings": list(outcome.warnings),
            "seconds": outcome.seconds,
            "registration_seconds": outcome.registration_seconds,
            "fusion_seconds": outcome.fusion_seconds,
            "out": pair.name if outcome.status == "done" else "",
        }

    def _scan(self, scan: Scan) -> dict[str, Any]:
        record: dict[str, Any] = {"modality": scan.modality, "shape": list(scan.shape)}
        if self.identify:
            record |= {
                "path": str(scan.path),
                "series_instance_uid": scan.series_uid,
                "description": scan.description,
                "patient_id": scan.patient_id,
            }
        return record

    def _write_csv(self, rows: list[tuple[Pair, Outcome]]) -> None:
        columns = (*_COLUMNS, *(_WHO if self.identify else ()))
        with (
            atomic_file(self.journal.out / "batch.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as stream,
        ):
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            for pair, outcome in rows:
                entry = self._entry(pair, outcome) | {
                    "anatomical": pair.anatomical.modality,
                    "functional": pair.functional.modality,
                    "warnings": " | ".join(outcome.warnings),
                    "patient_id": pair.anatomical.patient_id,
                    "anatomical_path": pair.anatomical.path,
                    "functional_path": pair.functional.path,
                }
                writer.writerow({name: _harmless(entry[name]) for name in columns})

    def _write_page(self, rows: list[tuple[Pair, Outcome]]) -> None:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("refinefuse_med.batch", "templates"),
            autoescape=True,  # whatever a header says, it is text
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        script = environment.get_template("index.js").render()
        stream = environment.get_template("index.html.j2").stream(
            rows=self._page_rows(rows),
            counts=_counts(rows),
            script=script,
            # A page that may run this script and no other, whatever slips in.
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            left_out=len(self.plan.left_out),
            reasons=_reasons(self.plan),
            identify=self.identify,
            version=__version__,
            research_only=RESEARCH_ONLY,
        )
        with atomic_file(self.journal.out / "index.html") as partial:
            stream.dump(str(partial), encoding="utf-8")

    def _page_rows(self, rows: list[tuple[Pair, Outcome]]) -> Iterator[dict[str, Any]]:
        # One at a time: thousands of pictures need not be in memory together.
        for pair, outcome in rows:
            folder = self.journal.out / pair.name
            links = [
                (text, name)
                for text, name in _LINKS.items()
                if outcome.status == "done" and (folder / name).is_file()
            ]
            yield {
                "pair": pair,
                "outcome": outcome,
                "state": outcome.verdict if outcome.status == "done" else outcome.status,
                "picture": self._picture(pair, outcome),
                "links": links,
            }

    def _picture(self, pair: Pair, outcome: Outcome) -> str:
        path = self.journal.thumbnail(pair.name)
        if outcome.status != "done" or not path.is_file():
            return ""
        return base64.b64encode(path.read_bytes()).decode("ascii")


class Recorder(Watcher):
    """Keeps the record true while the batch runs, without writing it anew for every pair."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._record = self._page = -PAGE_EVERY_S

    def outcome(self, outcome: Outcome) -> None:
        """Write the record, if it was not written just now."""
        now = time.monotonic()
        if now - self._record < RECORD_EVERY_S:
            return
        page = now - self._page >= PAGE_EVERY_S
        try:
            self._reporter.write(page=page)
        except OutputError as error:  # the run itself may still be able to go on
            log.warning("%s", error)
        self._record = time.monotonic()
        if page:
            self._page = self._record


def _counts(rows: list[tuple[Pair, Outcome]]) -> Mapping[str, int]:
    counts = Counter(outcome.status for _, outcome in rows)
    return {status: counts[status] for status in ("done", "failed", "pending")}


def _reasons(plan: BatchPlan) -> list[tuple[str, int]]:
    """Why series were left out, the most frequent first."""
    return Counter(item.reason for item in plan.left_out).most_common(_MOST_REASONS)


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet runs."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
