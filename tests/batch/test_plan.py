import re
from dataclasses import replace
from pathlib import Path

import pytest

from refinefuse_med.batch import plan
from refinefuse_med.batch.plan import make_plan
from refinefuse_med.errors import NoPairError
from refinefuse_med.io import Inspection, SeriesEntry


def _series(modality, *, patient="one", uid=None, slices=90, usable=True, study="1.2", frame=None):
    uid = uid or f"1.2.{modality}.{patient}.{slices}"
    return SeriesEntry(
        path=f"{patient}/{modality}",
        series_instance_uid=uid,
        modality=modality,
        description="head of Doe^Jane",
        files=slices,
        shape=(64, 64, slices),
        spacing_mm=(2.0, 2.0, 2.0),
        orientation="LPS",
        frame_of_reference_uid=frame,
        units="a.u.",
        usable=usable,
        reason="" if usable else "a localizer",
        patient=patient,
        study_instance_uid=study,
    )


@pytest.fixture
def plan_of(monkeypatch):
    def build(*series):
        monkeypatch.setattr(plan, "inspect_path", lambda _: Inspection(series, ()))
        return make_plan(Path("root"))

    return build


def _modalities(planned):
    return sorted((p.anatomical.modality, p.functional.modality) for p in planned.pairs)


def test_function_goes_onto_mr_and_ct_onto_mr(plan_of):
    planned = plan_of(_series("MR"), _series("CT"), _series("PT"), _series("NM"))
    assert _modalities(planned) == [("MR", "CT"), ("MR", "NM"), ("MR", "PT")]


def test_without_mr_pet_goes_onto_ct(plan_of):
    assert _modalities(plan_of(_series("CT"), _series("PT"))) == [("CT", "PT")]


def test_scans_of_two_patients_are_never_paired(plan_of):
    with pytest.raises(NoPairError) as caught:
        plan_of(_series("MR", patient="one"), _series("PT", patient="two"))
    assert caught.value.exit_status == 3


def test_without_patient_id_only_one_study_pairs(plan_of):
    scans = [_series("MR", patient=""), _series("PT", patient="", study="1.3")]
    with pytest.raises(NoPairError):
        plan_of(*scans)
    assert _modalities(plan_of(*(replace(s, study_instance_uid="1") for s in scans)))


def test_of_several_the_largest_is_taken_and_the_rest_is_accounted_for(plan_of):
    planned = plan_of(_series("MR", slices=20), _series("MR", slices=180), _series("PT"))
    assert planned.pairs[0].anatomical.shape == (64, 64, 180)
    assert [item.reason for item in planned.left_out] == ["another MR was taken (64 x 64 x 180)"]


def test_unusable_series_are_left_out_with_their_reason(plan_of):
    planned = plan_of(_series("MR"), _series("PT"), _series("MR", usable=False, uid="9"))
    assert [item.reason for item in planned.left_out] == ["a localizer"]


def test_folder_names_hold_no_header_text_and_repeat(plan_of):
    scans = _series("MR", patient="Doe^Jane"), _series("PT", patient="Doe^Jane")
    names = [plan_of(*order).pairs[0].name for order in (scans, scans[::-1])]
    assert names[0] == names[1]
    assert re.fullmatch(r"MR-PT-[0-9a-f]{8}", names[0])
