import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refinefuse_med.batch.journal import open_journal
from refinefuse_med.batch.outcome import Outcome
from refinefuse_med.batch.plan import BatchPlan, Leftover
from refinefuse_med.batch.report import Reporter

from . import browser, light

HOSTILE = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>{{7*7}}"
NAME = "Doe^Jane"


def _write(out, *, identify=False):
    """A record of four pairs, whose texts are as bad as a header can be."""
    pairs, outcomes = [], []
    for number, (status, verdict, seconds) in enumerate(
        [("done", "ok", 9.5), ("done", "suspect", 30.25), ("failed", "", 0), ("pending", "", 0)]
    ):
        pair = light.pair(number)
        side = replace(
            pair.anatomical,
            path=Path(f"archive/{NAME}/{number}"),
            patient_id=f"=cmd|' /C calc'!{number}",
            description=HOSTILE,
        )
        pairs.append(replace(pair, anatomical=side, functional=side, person=f"p{number}"))
        outcomes.append(
            Outcome(
                pair.name,
                status,
                verdict=verdict,
                method="rigid" if verdict else "",
                error=HOSTILE if status == "failed" else "",
                warnings=(HOSTILE, "two") if verdict == "suspect" else (),
                seconds=seconds,
                registration_seconds=seconds / 2,
            )
        )
    plan = BatchPlan(out, tuple(pairs), (Leftover(f"{NAME}/x", "MR", f"a localizer {HOSTILE}"),))
    with open_journal(out, {}, 1) as journal:
        for pair, outcome in zip(pairs, outcomes, strict=True):
            journal.begin(pair)
            if outcome.status == "pending":
                continue
            if outcome.status == "done":
                folder = journal.work / pair.name
                folder.mkdir()
                (folder / "report.html").write_text("x")
                picture = np.full((144, 480, 3), 30 * len(outcome.verdict), np.uint8)
                Image.fromarray(picture).save(journal.work / f"{pair.name}.jpg")
            journal.end(pair, outcome)
        Reporter(plan, journal, identify).write()
    return pairs


def test_the_record_names_nobody_unless_asked(tmp_path):
    _write(tmp_path)
    for name in ("index.html", "batch.json", "batch.csv"):
        text = (tmp_path / name).read_text()
        assert NAME not in text
        assert "cmd|" not in text
    _write(tmp_path, identify=True)
    first = json.loads((tmp_path / "batch.json").read_text())["pairs"][0]
    assert NAME in first["anatomical"]["path"]


def test_the_table_has_a_row_a_pair_and_runs_nothing_in_a_spreadsheet(tmp_path):
    pairs = _write(tmp_path, identify=True)
    with (tmp_path / "batch.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == [pair.name for pair in pairs]
    assert [row["status"] for row in rows] == ["done", "done", "failed", "pending"]
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())


@pytest.mark.skipif(browser.BROWSER is None, reason="Chromium is not installed")
def test_the_page_sorts_filters_and_runs_no_foreign_script(tmp_path):
    pairs = _write(tmp_path / "out", identify=True)
    names = [pair.name for pair in pairs]
    visible = (
        "[...document.querySelectorAll('#pairs tbody tr')].filter(row => row.checkVisibility())"
        ".map(row => row.querySelector('code').textContent)"
    )

    def click(title):
        buttons = "[...document.querySelectorAll('th button')]"
        return f"{buttons}.find(button => button.textContent == '{title}').click()"

    with browser.opened(tmp_path / "out" / "index.html", tmp_path / "profile") as page:
        assert page("typeof window.pwned") == "undefined"
        assert page("document.querySelectorAll('script').length") == 1
        assert page("document.body.textContent.includes('window.pwned = 1')")
        assert page("[...document.images].map(image => image.src.slice(0, 16))") == (
            ["data:image/jpeg;"] * 2
        )
        assert page(visible) == names

        page(click("Total s"))
        assert page(visible)[-2:] == [names[0], names[1]]
        page(click("Total s"))
        assert page(visible)[:2] == [names[1], names[0]]
        page(click("Verdict"))
        assert page(visible)[:2] == [names[2], names[1]]

        page("document.querySelector('input[value=ok]').click()")
        page("document.querySelector('input[value=failed]').click()")
        assert sorted(page(visible)) == [names[1], names[3]]
        assert page("document.querySelector('#shown').textContent") == "2 of 4 shown"
        page(
            "{const box = document.querySelector('#words'); box.value = 'SUSPECT';"
            "box.dispatchEvent(new Event('input'))}"
        )
        assert page(visible) == [names[1]]
        links = page("[...document.querySelectorAll('#pairs a')].map(a => a.getAttribute('href'))")
        assert sorted(links) == [f"{name}/report.html" for name in names[:2]]
        page(
            "{const script = document.createElement('script'); script.textContent ="
            "'window.pwned = 3'; document.body.append(script)}"
        )
        assert page("typeof window.pwned") == "undefined"
