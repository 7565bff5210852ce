"""Two scans are told apart, and told whether they make sense together, without their voxels."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from pydicom.dataset import Dataset

pytest.importorskip("napari")

from napari.layers import Image

from refinefuse_med.config import RegistrationConfig
from refinefuse_med.volume import SourceHeader
from refinefuse_napari import _texts as texts
from refinefuse_napari._estimate import Eta, Machine, memory_needed, memory_words, time_words
from refinefuse_napari._pair import facts_of, judge
from refinefuse_napari._snapshot import METADATA, snapshot


def scan(modality, *, frame=None, patient=None, shape=(4, 5, 6), **attributes):
    info = {"modality": modality}
    if frame:
        info["frame_of_reference_uid"] = frame
    if patient:
        header = Dataset()
        header.PatientID = patient
        info["source"] = SourceHeader("dicom", datasets=(header,))
    return snapshot(
        Image(
            np.zeros(shape),
            name=modality,
            metadata={METADATA: info},
            **{"units": "mm", **attributes},
        )
    )


def said(*args):
    return [(word.text, word.stops) for word in judge(*args)]


def test_a_good_pair_is_said_to_be_of_one_frame():
    assert said(scan("MR", frame="1.2"), scan("PT", frame="1.2")) == [(texts.ONE_FRAME, False)]
    assert said(scan("MR", frame="1.2"), scan("PT", frame="1.3")) == [(texts.TWO_FRAMES, False)]
    assert said(scan("MR"), scan("PT", frame="1.3")) == [(texts.UNKNOWN_FRAMES, False)]


def test_two_patients_stop_unless_forced():
    pair = scan("MR", patient="A"), scan("PT", patient="B")
    assert (texts.TWO_PATIENTS, True) in said(*pair)
    assert (texts.TWO_PATIENTS, False) in said(*pair, RegistrationConfig(force=True))


def test_roles_that_look_exchanged_are_said():
    assert "anatomical scan is a PET" in said(scan("PT"), scan("MR"))[0][0]
    assert "Both scans are MR" in said(scan("MR"), scan("MR"))[0][0]


def test_one_slice_is_no_volume():
    assert said(scan("MR", shape=(1, 5, 6)), scan("PT"))[0] == (texts.ONE_SLICE.format("MR"), True)


def test_an_array_without_units_and_scale_is_stopped_and_one_with_a_scale_is_not():
    bare = scan("OT", units="pixel")
    assert (texts.NO_SPACING.format("OT"), True) in said(scan("MR"), bare)
    scaled = scan("OT", units="pixel", scale=(3, 2, 2))
    assert (texts.NO_UNITS.format("OT"), False) in said(scan("MR"), scaled)


def test_the_size_of_data_that_is_not_in_memory_is_told_without_computing_it():
    def never(block):
        raise AssertionError("computed")

    lazy = dask.array.zeros((600, 512, 512), chunks=(1, 512, 512), dtype="f4").map_blocks(
        never, dtype="f4", meta=np.empty((0, 0, 0), "f4")
    )
    layer = Image(lazy, contrast_limits=(0, 1), scale=(1, 0.7, 0.7), units="mm", visible=False)
    facts = facts_of(snapshot(layer))
    assert facts.shape == (512, 512, 600)
    assert facts.spacing_mm == pytest.approx((0.7, 0.7, 1))


def test_memory_too_small_is_said():
    small = facts_of(scan("MR"))
    text, short = memory_words(memory_needed(small, small))
    assert not short
    assert "are free" in text
    text, short = memory_words(1e15)
    assert short
    assert "close other programs" in text


def test_without_a_gpu_the_time_is_said():
    machine = Machine("cpu", True, 1e-5)
    assert time_words(machine, 6_000_000) == texts.CPU_TIME.format("60 s")
    assert time_words(machine, 6_000_000, planes=3) == texts.CPU_TIME.format("3 min")
    assert time_words(Machine("Name", False, 1e-8), 6_000_000) == "GPU: Name"
    assert time_words(None, 5) == texts.LOOKING


def test_the_time_left_is_of_each_stage_by_itself():
    eta = Eta()
    assert eta.seconds_left("register", 0.5, now=100) is None
    assert eta.seconds_left("register", 0.5, now=110) == pytest.approx(10)
    assert eta.seconds_left("fuse", 0.25, now=110) is None
    assert eta.seconds_left("fuse", 0.25, now=112) == pytest.approx(6)
    assert eta.seconds_left("fuse", 0.1, now=120) is None
    assert eta.seconds_left("fuse", 0.2, now=124) == pytest.approx(16)


@pytest.mark.parametrize(
    ("frame", "method", "expected"),
    [
        ("1.2", "none", texts.ONE_FRAME),
        ("1.3", "rigid", texts.TWO_FRAMES),
        ("1.3", "none", texts.TWO_FRAMES_AS_IS),
        ("1.3", "header", texts.TWO_FRAMES_BY_HEADER),
        (None, "none", texts.UNKNOWN_FRAMES_AS_IS.format("none")),
        (None, "affine", texts.UNKNOWN_FRAMES),
    ],
)
def test_what_is_said_of_the_frames_is_what_the_method_does(frame, method, expected):
    config = RegistrationConfig(method=method)
    pair = scan("MR", frame="1.2"), scan("PT", frame=frame)
    assert said(*pair, config) == [(expected, False)]
