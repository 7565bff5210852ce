"""Folders of fused PNG slices measured against their sources."""

from __future__ import annotations

import csv
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from refinefuse_med.errors import CancelledError, InputError, NoPairError, OutputError
from refinefuse_med.evaluation import evaluate, values_by_metric, write_csv
from refinefuse_med.metrics import FUSION_METRICS, evaluate_fusion
from refinefuse_med.metrics.colour import COLOUR_METRICS
from refinefuse_med.progress import Monitor


def _grey(seed: int = 0, size: tuple[int, int] = (50, 44)) -> np.ndarray:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=size[::-1]), 2)
    return np.clip(128 + 500 * noise, 0, 255).astype(np.uint8)


def _colours(grey: np.ndarray) -> np.ndarray:
    return np.dstack([grey, grey // 2, grey // 4])


@pytest.fixture
def folders(tmp_path):
    """Write pictures by name into folders ``mri``, ``pet`` and ``fused``, and give all three."""

    def write(*contents: dict[str, np.ndarray]):
        paths = tuple(tmp_path / name for name in ("mri", "pet", "fused"))
        for folder, pictures in zip(paths, contents, strict=True):
            folder.mkdir()
            for name, picture in pictures.items():
                Image.fromarray(picture).save(folder / name)
        return paths

    return write


def test_metrics_are_those_of_the_luminance(folders):
    mri, pet, fused = _grey(0), _colours(_grey(1)), _colours(_grey(2))
    paths = folders({"1.png": mri}, {"1.png": pet}, {"1.png": fused})
    (entry,) = evaluate(*paths, jobs=1)["slices"]
    y_pet, y_fused = (np.rint(rgb @ [0.299, 0.587, 0.114]) for rgb in (pet, fused))
    expected = evaluate_fusion(y_fused, mri, y_pet)
    assert entry["stem"] == "1"
    assert {name: entry["metrics"][name] for name in FUSION_METRICS} == pytest.approx(expected)
    assert list(entry["metrics"]) == [*FUSION_METRICS, *COLOUR_METRICS]


def test_a_picture_of_16_bits_is_measured_as_one_of_8(folders):
    pictures = [{"8.png": _grey(n), "16.png": _grey(n).astype(np.uint16) * 257} for n in range(3)]
    deep, plain = evaluate(*folders(*pictures), jobs=1)["slices"]
    assert deep["metrics"] == pytest.approx(plain["metrics"])


def test_colour_metrics_are_absent_where_a_side_is_grey(folders):
    grey, rgb = _grey(0), _colours(_grey(1))
    paths = folders(
        {"a.png": grey, "b.png": grey, "c.png": grey},
        {"a.png": rgb, "b.png": rgb, "c.png": grey},
        {"a.png": rgb, "b.png": grey, "c.png": rgb},
    )
    record = evaluate(*paths, jobs=1)
    with_colour = [e["stem"] for e in record["slices"] if set(COLOUR_METRICS) <= set(e["metrics"])]
    assert with_colour == ["a"]
    assert record["mean"]["CIEDE2000"] == 0
    assert {name: len(v) for name, v in values_by_metric(record["slices"]).items()} == (
        dict.fromkeys(FUSION_METRICS, 3) | dict.fromkeys(COLOUR_METRICS, 1)
    )


def test_processes_give_the_same_record_in_order(folders):
    paths = folders(*({f"{n}.png": _grey(3 * n + k) for n in range(3)} for k in range(3)))
    told: list[float] = []
    monitor = Monitor(on_progress=lambda stage, fraction: told.append(fraction))
    record = evaluate(*paths, jobs=2, monitor=monitor)
    assert record == evaluate(*paths, jobs=1)
    assert [entry["stem"] for entry in record["slices"]] == ["0", "1", "2"]
    assert record["mean"]["SSIM"] == np.mean([e["metrics"]["SSIM"] for e in record["slices"]])
    assert told == [0, 1 / 3, 2 / 3, 1]


def test_files_without_a_partner_are_named(folders):
    a, b, c = (_grey(n) for n in range(3))
    paths = folders({"1.png": a, "2.png": a}, {"1.png": b, "2.png": b}, {"1.png": c, "9.png": c})
    record = evaluate(*paths, jobs=1)
    assert [entry["stem"] for entry in record["slices"]] == ["1"]
    assert [text.split("/")[-1] for text in record["warnings"]] == [
        "mri: no partner for 2.png",
        "pet: no partner for 2.png",
        "fused: no partner for 9.png",
    ]


def test_a_slice_that_only_two_folders_hold_is_no_match(folders):
    paths = folders({"1.png": _grey()}, {"1.png": _grey()}, {"2.png": _grey()})
    with pytest.raises(NoPairError, match="no PNG slice has a partner"):
        evaluate(*paths)


def test_a_fused_slice_of_another_size_is_refused_by_name(folders):
    paths = folders({"1.png": _grey()}, {"1.png": _grey()}, {"1.png": _grey(size=(44, 50))})
    with pytest.raises(InputError, match=r"fused/1\.png: 44 x 50 pixels, .* partner 50 x 44"):
        evaluate(*paths)


def test_a_slice_too_small_to_measure_is_refused_by_name(folders):
    paths = folders(*({"1.png": _grey(n, (60, 40))} for n in range(3)))
    with pytest.raises(InputError, match=r"mri/1\.png: 60 x 40 pixels are too few"):
        evaluate(*paths)


@pytest.mark.parametrize("size", [(41, 41), (41, 300)])
def test_the_smallest_and_even_blank_slices_have_finite_metrics(folders, size):
    blank = np.zeros(size[::-1], np.uint8)
    paths = folders(
        {"1.png": _grey(0, size), "2.png": blank},
        {"1.png": _grey(1, size), "2.png": blank},
        {"1.png": _grey(2, size), "2.png": blank},
    )
    for values in values_by_metric(evaluate(*paths, jobs=1)["slices"]).values():
        assert np.isfinite(values).all()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_damaged_png_is_named(folders, jobs):
    paths = folders(*({"1.png": _grey(n), "2.png": _grey(n)} for n in range(3)))
    damaged = paths[2] / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(InputError, match=r"fused/2\.png: is not a readable PNG"):
        evaluate(*paths, jobs=jobs)


def test_it_stops_on_request(folders):
    paths = folders(*({"1.png": _grey(n)} for n in range(3)))
    with pytest.raises(CancelledError):
        evaluate(*paths, jobs=1, monitor=Monitor(is_cancelled=lambda: True))


def test_the_table_has_a_row_each_and_leaves_absent_metrics_empty(tmp_path):
    slices = [
        {"stem": "a", "metrics": {"SSIM": 1.25}},
        {"stem": "b", "metrics": {"SSIM": 1.5, "CIEDE2000": 3.0}},
    ]
    write_csv(slices, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["stem", "SSIM", "CIEDE2000"], ["a", "1.25", ""], ["b", "1.5", "3.0"],
        ]  # fmt: skip


def test_a_table_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"t\.csv"):
        write_csv([], tmp_path / "nowhere" / "t.csv")


def test_real_slices_measure_as_the_published_tables_do(shared_data, tmp_path):
    """The MRI taken as the fused picture: a row that is easy to check by other code."""
    source = shared_data / "fusion_train" / "MRI-PET"
    for name in ("MRI", "PET"):
        (tmp_path / name).mkdir()
        for stem in ("25023", "30078", "41084"):
            (tmp_path / name / f"{stem}.png").symlink_to(source / name / f"{stem}.png")
    mean = evaluate(tmp_path / "MRI", tmp_path / "PET", tmp_path / "MRI", jobs=1)["mean"]
    assert 1.3 < mean["SSIM"] < 1.6
    assert 0.7 < mean["Qabf"] < 0.85
    assert 0.4 < mean["SCD"] < 0.8
    assert not set(COLOUR_METRICS) & set(mean)


def test_a_script_without_a_guard_is_run_once(folders, tmp_path):
    paths = folders(*({f"{n}.png": _grey(3 * n + k) for n in range(2)} for k in range(3)))
    script = tmp_path / "script.py"
    script.write_text(
        "from refinefuse_med.evaluation import evaluate\n"
        f"record = evaluate(*{tuple(map(str, paths))}, jobs=2)\n"
        "print(len(record['slices']))\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, script]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    assert ended.stdout.split() == ["2"]
