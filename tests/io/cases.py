"""Every kind of input the reader is tried on, and the table of them in docs/robustness.md.

    python -m tests.io.cases

writes the table anew; a test compares it with what is there.
"""

from __future__ import annotations

from pathlib import Path

from tests.io import cases_damage, cases_files, cases_geometry, cases_objects, cases_values
from tests.io.case import Case

GROUPS: dict[str, list[Case]] = {
    "Where the slices lie": cases_geometry.CASES,
    "What kind of object they are in": cases_objects.CASES,
    "What the values mean, and how they are encoded": cases_values.CASES,
    "Damaged files beside the scan": cases_damage.CASES,
    "Folders, archives, NIfTI": cases_files.CASES,
}
CASES = [case for cases in GROUPS.values() for case in cases]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"
START, END = "<!-- from tests/io/cases.py -->", "<!-- end -->"


def tables() -> str:
    lines = []
    for title, cases in GROUPS.items():
        lines += [f"### {title}", "", "| input | outcome | says |", "|---|---|---|"]
        lines += [
            f"| {case.name} | {'refused' if case.refused else 'read'} | {case.says} |"
            for case in cases
        ]
        lines.append("")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with its tables renewed."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{tables()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
