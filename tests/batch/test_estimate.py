"""What a pair is expected to take."""

from __future__ import annotations

import pytest

from refinefuse_med.batch import estimate
from refinefuse_med.batch.estimate import estimate_of
from refinefuse_med.io.inspection import SeriesEntry


def series(*shape: int, frame: str | None = None) -> SeriesEntry:
    return SeriesEntry(
        path="scan",
        series_instance_uid=None,
        modality="MR",
        description="",
        files=1,
        shape=shape,
        spacing_mm=(1.0, 1.0, 1.0),
        orientation="LPS",
        frame_of_reference_uid=frame,
        units="",
        usable=True,
        reason="",
        warnings=(),
    )


def test_memory_grows_with_the_voxels_of_both_scans_from_what_a_worker_holds():
    nothing, fixed, moving, both = (
        estimate_of(series(*a), series(*f)).memory_mb
        for a, f in (
            ((1, 1, 1), (1, 1, 1)),
            ((100, 100, 100), (1, 1, 1)),
            ((1, 1, 1), (100, 100, 100)),
            ((100, 100, 100), (100, 100, 100)),
        )
    )
    assert nothing == estimate.BASE_MB
    assert fixed - nothing == estimate.BYTES_PER_ANATOMICAL_VOXEL
    assert moving - nothing == estimate.BYTES_PER_FUNCTIONAL_VOXEL
    assert both - nothing == fixed - nothing + moving - nothing


@pytest.mark.parametrize(
    ("frames", "registers"), [(("1.2", "1.2"), 0), (("1.2", "1.3"), 1), ((None, None), 1)]
)
def test_scans_in_one_frame_of_reference_take_no_registration(frames, registers):
    anatomical, functional = (series(200, 200, 50, frame=frame) for frame in frames)
    seconds = estimate_of(anatomical, functional).seconds
    fusing = 2 * estimate.SECONDS_PER_MILLION_VOXELS + 1
    assert seconds == round(fusing + registers * estimate.REGISTRATION_SECONDS)


@pytest.mark.parametrize(
    ("anatomical", "functional", "measured_mb"),
    [
        ((192, 192, 120), (128, 128, 90), 1145),
        ((256, 256, 180), (128, 128, 90), 1530),
        ((192, 192, 120), (256, 256, 180), 1169),
    ],
)
def test_the_estimate_is_a_little_above_what_workers_took(anatomical, functional, measured_mb):
    memory_mb = estimate_of(series(*anatomical), series(*functional)).memory_mb
    assert 1.1 * measured_mb < memory_mb < 1.2 * measured_mb
