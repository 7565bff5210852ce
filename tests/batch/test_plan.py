import csv
import re
import zipfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import torch

from refinefuse_med.batch import plan
from refinefuse_med.batch.plan import make_plan
from refinefuse_med.errors import NoPairError, UsageError
from refinefuse_med.io import Inspection, SeriesEntry, load_volume
from refinefuse_med.io.identity import Identity
from refinefuse_med.pseudonyms import Pseudonyms
from refinefuse_med.sample import make_sample
from refinefuse_med.volume import source_of

KEY = Pseudonyms(bytes(32))


def _series(modality, *, patient="one", uid=None, slices=90, usable=True, frame=None, **given):
    """A series as an inspection finds it; further arguments are those of its identity."""
    uid = uid or f"1.2.{modality}.{patient}.{slices}.{given.get('study_uid', '1.2')}"
    spacing = given.pop("spacing_mm", (2.0, 2.0, 2.0))
    shape = given.pop("shape", (64, 64, slices))
    return SeriesEntry(
        path=f"{patient}/{modality}",
        series_instance_uid=uid,
        modality=modality,
        description="head of Doe^Jane",
        files=slices,
        shape=shape,
        spacing_mm=spacing,
        orientation="LPS",
        frame_of_reference_uid=frame,
        units="a.u.",
        usable=usable,
        reason="" if usable else "a localizer",
        identity=Identity(**{"patient_id": patient, "study_uid": "1.2", **given}),
    )


def _file(path, modality):
    return replace(_series(modality, uid="-"), path=path, series_instance_uid=None)


@pytest.fixture
def plan_of(monkeypatch, tmp_path):
    def build(*series, **options):
        monkeypatch.setattr(plan, "scan_tree", lambda *_, **__: Inspection(series, ()))
        return make_plan(tmp_path, pseudonyms=KEY, **options)

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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"birth_date": "1950"}, {"birth_date": "1951"}, id="birth dates differ"),
        pytest.param({"patient_name": "a"}, {"patient_name": "b"}, id="names differ"),
        pytest.param(
            {"patient_name": "a", "birth_date": "1950"}, {"patient_name": "b"}, id="one unsure"
        ),
    ],
)
def test_one_patient_id_of_two_people_makes_no_pair(plan_of, one, other):
    with pytest.raises(NoPairError):
        plan_of(_series("MR", **one), _series("PT", **other))


def test_one_patient_id_and_birth_date_is_one_person_whatever_the_name(plan_of):
    who = {"birth_date": "1950"}
    planned = plan_of(
        _series("MR", patient_name="doe jane", **who), _series("PT", patient_name="roe jane", **who)
    )
    assert _modalities(planned) == [("MR", "PT")]


def test_who_cannot_be_told_among_people_of_one_id_is_left_out(plan_of):
    planned = plan_of(
        _series("MR", birth_date="1950"),
        _series("PT", birth_date="1950"),
        _series("PT", birth_date="1960", slices=91),
        _series("CT"),
    )
    reasons = {item.modality: item.reason for item in planned.left_out}
    assert reasons["CT"] == "its patient ID stands for people of several birth dates"
    assert reasons["PT"] == "no scan of the same patient to fuse it with"


def test_without_patient_id_only_one_study_pairs(plan_of):
    scans = [_series("MR", patient=""), _series("PT", patient="", study_uid="1.3")]
    with pytest.raises(NoPairError):
        plan_of(*scans)
    assert _modalities(plan_of(scans[0], _series("PT", patient=""))) == [("MR", "PT")]


def test_without_patient_id_name_and_birth_date_together_tell_a_person(plan_of):
    who = {"patient": "", "patient_name": "doe jane"}
    scans = [_series("MR", **who), _series("PT", study_uid="1.3", **who)]
    with pytest.raises(NoPairError):
        plan_of(*scans)
    born = [replace(s, identity=replace(s.identity, birth_date="1950")) for s in scans]
    assert _modalities(plan_of(*born)) == [("MR", "PT")]


def test_each_study_s_function_gets_the_anatomy_nearest_in_time(plan_of):
    scans = [
        _series(modality, study_uid=f"1.{year}.{month}", study_date=date(year, month, 1))
        for modality, year, month in [
            ("MR", 2020, 1),
            ("PT", 2020, 2),
            ("MR", 2022, 6),
            ("PT", 2022, 7),
            ("PT", 2025, 1),
        ]
    ]
    planned = plan_of(*scans)
    years = {p.functional.series_uid[-6:]: p.anatomical.series_uid[-6:] for p in planned.pairs}
    assert years == {"2020.2": "2020.1", "2022.7": "2022.6"}
    assert [p.days_apart for p in planned.pairs].count(31) == 1
    (left,) = planned.left_out
    assert left.reason == "the nearest scan to fuse it with is 945 days away (--max-days 90)"
    assert len(plan_of(*scans, max_days=1000).pairs) == 3


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param({"corrections": ("ATTN",)}, {}, id="attenuation-corrected over not"),
        pytest.param({}, {"spacing_mm": (2.0, 2.0, 9.0)}, id="3D over 2D"),
        pytest.param({"image_type": ("ORIGINAL",)}, {"image_type": ("DERIVED",)}, id="original"),
        pytest.param({"slices": 80}, {"slices": 20}, id="whole coverage over a slab"),
        pytest.param(
            {"shape": (180,) * 3, "spacing_mm": (1.0,) * 3},
            {"shape": (90,) * 3, "spacing_mm": (2.0,) * 3},
            id="fine over coarse",
        ),
    ],
)
def test_the_better_series_is_taken_and_the_points_say_why(plan_of, better, worse):
    pets = [_series("PT", uid="worse", **worse), _series("PT", uid="better", **better)]
    planned = plan_of(_series("MR"), *pets)
    assert planned.pairs[0].functional.series_uid == "better"
    (left,) = planned.left_out
    assert left.reason.startswith("another PT of the study has more points: ")


def test_the_frame_of_reference_decides_between_equals(plan_of):
    anatomy = [_series("CT", uid=name, frame=name, slices=180) for name in "ab"]
    planned = plan_of(*anatomy, _series("PT", frame="a"))
    assert planned.pairs[0].anatomical.series_uid == "a"
    assert "one frame of reference" in planned.pairs[0].reason


def test_unusable_series_are_left_out_with_their_reason(plan_of):
    planned = plan_of(_series("MR"), _series("PT"), _series("MR", usable=False, uid="9"))
    assert [item.reason for item in planned.left_out] == ["a localizer"]


def test_names_hold_no_header_text_and_follow_from_the_key(plan_of, monkeypatch):
    scans = _series("MR", patient="Doe^Jane"), _series("PT", patient="Doe^Jane")
    names = [plan_of(*order).pairs[0].name for order in (scans, scans[::-1])]
    assert names[0] == names[1]
    assert re.fullmatch(r"MR-PT-[0-9a-f]{12}", names[0])
    other = make_plan(Path("root"), pseudonyms=Pseudonyms(bytes([1] * 32)))
    assert other.pairs[0].name != names[0]


def test_bids_pairs_by_subject_and_session(plan_of):
    planned = plan_of(
        _file("sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz", "OT"),
        _file("sub-01/ses-a/anat/sub-01_ses-a_T2w.nii.gz", "OT"),
        _file("sub-01/ses-b/anat/sub-01_ses-b_T1w.nii.gz", "OT"),
        _file("sub-01/ses-b/pet/sub-01_ses-b_trc-FDG_pet.nii.gz", "OT"),
        _file("sub-02/anat/sub-02_T1w.nii.gz", "OT"),
        _file("derivatives/x/sub-02/pet/sub-02_pet.nii.gz", "PT"),
    )
    (pair,) = planned.pairs
    assert "ses-b_T1w" in str(pair.anatomical.path)
    assert pair.functional.modality == "PT"
    reasons = {item.path: item.reason for item in planned.left_out}
    assert "not raw data" in reasons["derivatives/x/sub-02/pet/sub-02_pet.nii.gz"]
    assert len(reasons) == 4


def test_a_pairs_file_overrules(plan_of, tmp_path):
    scans = [_series("MR"), _series("CT"), _series("PT"), _series("PT", patient="two")]
    table = tmp_path / "pairs.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ["functional", "anatomical"],
                ["two/PT", "one/CT"],
                [scans[2].series_instance_uid, "one/CT"],
            ]
        )
    planned = plan_of(*scans, pairs_file=table)
    assert _modalities(planned) == [("CT", "PT"), ("CT", "PT")]
    assert [item.reason for item in planned.left_out] == ["not named in the pairs file"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("anatomical\n", "no column 'functional'"),
        ("anatomical,functional\none/MR,../etc/passwd\n", "line 2: '../etc/passwd' is no usable"),
        ("anatomical,functional\none/MR,\n", "line 2: '' is no usable scan"),
        ("anatomical,functional\none/MR,one/MR\n", "both sides are the same scan"),
    ],
)
def test_a_bad_line_of_a_pairs_file_is_named(plan_of, tmp_path, table, said):
    path = tmp_path / "pairs.csv"
    path.write_text(table)
    with pytest.raises(UsageError, match=re.escape(said)):
        plan_of(_series("MR"), _series("PT"), pairs_file=path)


def test_a_mask_is_no_scan_unless_the_user_says_so(plan_of, tmp_path):
    scans = _file("a/t1_image.nii.gz", "MR"), _file("a/pet.nii.gz", "PT")
    mask = _file("a/t1_Mask.nii.gz", "MR")
    planned = plan_of(*scans, mask)
    assert planned.pairs[0].anatomical.path.name == "t1_image.nii.gz"
    assert [(item.path, item.reason[:6]) for item in planned.left_out] == [(mask.path, "a mask")]
    table = tmp_path / "pairs.csv"
    table.write_text(f"anatomical,functional\n{mask.path},a/pet.nii.gz\n")
    planned = plan_of(*scans, mask, pairs_file=table)
    assert planned.pairs[0].anatomical.path.name == "t1_Mask.nii.gz"


def test_a_series_is_read_without_all_that_shares_its_folder(tmp_path):
    study, root = tmp_path / "study", tmp_path / "flat"
    make_sample(study, dicom=True)
    root.mkdir()
    for path in study.glob("*/*.dcm"):
        path.rename(root / f"{path.parent.name}-{path.name}")
    pairs = make_plan(root, pseudonyms=KEY).pairs
    (scan,) = {pair.functional for pair in pairs if pair.functional.modality == "PT"}
    whole = load_volume(scan.path, series_uid=scan.series_uid)
    for path in root.iterdir():
        if path.name not in scan.files:
            path.unlink()
    (root / "junk.dcm").write_bytes(b"junk")  # would be told of, if it were read
    alone = load_volume(scan.path, series_uid=scan.series_uid, files=scan.files)
    assert torch.equal(alone.as_tensor(), whole.as_tensor())
    assert alone.affine.tolist() == whole.affine.tolist()
    assert source_of(alone).warnings == source_of(whole).warnings


def _zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path


def test_of_a_zip_a_read_unpacks_one_series_alone(tmp_path, monkeypatch):
    make_sample(tmp_path / "study", dicom=True)
    files = {f"all/{p.parent.name}-{p.name}": p for p in (tmp_path / "study").glob("*/*.dcm")}
    root = _zipped(tmp_path / "study.zip", files)
    pairs = make_plan(root, pseudonyms=KEY).pairs
    (scan,) = {pair.functional for pair in pairs if pair.functional.modality == "PT"}
    taken = []
    extract = zipfile.ZipFile.extract

    def note(archive, member, *args):
        taken.append(member.filename)
        return extract(archive, member, *args)

    monkeypatch.setattr(zipfile.ZipFile, "extract", note)
    alone = load_volume(scan.path, series_uid=scan.series_uid, files=scan.files)
    assert sorted(taken) == sorted(name for name in files if "/PT-" in name)
    whole = load_volume(tmp_path / "study" / "PT")
    assert torch.equal(alone.as_tensor(), whole.as_tensor())
    assert alone.affine.tolist() == whole.affine.tolist()


def test_nifti_files_in_a_zip_are_told_apart_and_known_again(tmp_path):
    paths = {path.name: path for path in make_sample(tmp_path / "study")}
    files = {f"one/{name}": path for name, path in paths.items() if "mr" in name or "pet" in name}
    root = _zipped(tmp_path / "study.zip", files)
    (pair,) = make_plan(root, pseudonyms=KEY).pairs
    (again,) = make_plan(root, pseudonyms=KEY).pairs
    assert again == pair
    for scan in (pair.anatomical, pair.functional):
        volume = load_volume(scan.path, modality=scan.modality, files=scan.files)
        assert tuple(volume.shape[1:]) == scan.shape
