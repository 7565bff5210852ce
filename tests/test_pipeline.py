import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset

from refinefuse_med import colour, pipeline
from refinefuse_med.applying import apply_transform
from refinefuse_med.config import ColourConfig, EngineConfig, FusionConfig, RegistrationConfig
from refinefuse_med.engine import Engine
from refinefuse_med.errors import CancelledError, DeviceMemoryError, InputError
from refinefuse_med.network import RefineFuse
from refinefuse_med.pipeline import fuse_pair, fuse_registered, register_pair
from refinefuse_med.progress import Monitor
from refinefuse_med.results import FusionResult
from refinefuse_med.volume import (
    Keys,
    SourceHeader,
    affine_ras,
    get_meta,
    grid_of,
    like,
    make_volume,
    with_frame_of_reference,
)

AS_IS = RegistrationConfig(method="none")


@pytest.fixture(scope="module")
def result(head_pair):
    return fuse_pair(*head_pair, FusionConfig(registration=AS_IS))


def _of_patient(volume, patient):
    header = Dataset()
    header.PatientID = patient
    stamped = like(volume, volume.as_tensor())
    stamped.meta[Keys.SOURCE] = SourceHeader("dicom", datasets=(header,))
    return stamped


def test_the_hot_body_is_coloured_on_the_patients_own_side(result):
    # It lies at RAS (-35, 30, 20): the patient's left, in front, above. Hot iron is red where
    # the uptake is low, and only the hottest has green and blue in it.
    green_and_blue = result.fused.as_tensor()[1:].float().mean(0)
    inverse = np.linalg.inv(affine_ras(result.fused))

    def at(x, y, z):
        i, j, k = np.rint(inverse @ (x, y, z, 1))[:3].astype(int)
        return float(green_and_blue[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2].mean())

    for mirrored in ((35, 30, 20), (-35, -30, 20), (-35, 30, -20)):
        assert at(-35, 30, 20) > at(*mirrored) + 40


def test_the_result_lies_on_the_anatomical_grid(result, head_pair):
    for volume in (result.fused, result.functional_registered):
        assert grid_of(volume).same_as(grid_of(head_pair[0]))


def test_the_parts_add_up_to_the_fused_luminance(result):
    fused = result.picture.run.fused
    torch.testing.assert_close(result.contribution.sum(0), fused, atol=1e-6, rtol=0)


def test_the_contribution_is_shown_in_two_colours_and_summed_up(result):
    shown = result.contribution_rgb
    assert grid_of(shown).same_as(grid_of(result.fused))
    assert shown.dtype == torch.uint8
    # Blue has no red, orange has no blue.
    anatomical, functional = result.contribution
    torch.testing.assert_close(shown[0].as_tensor().float(), 255 * functional, atol=0.51, rtol=0)
    torch.testing.assert_close(shown[2].as_tensor().float(), 255 * anatomical, atol=0.51, rtol=0)
    shares = result.record["metrics"]["contribution"]
    assert shares["anatomical"] + shares["functional"] == pytest.approx(1, abs=1e-3)
    expected = float(functional.sum() / result.contribution.sum())
    assert shares["functional"] == pytest.approx(expected, abs=1e-3)


def test_background_is_black(result, head_pair):
    air = (head_pair[0][0] < 1) & (result.functional_registered[0] < 0.01)
    assert air.any()
    assert int(result.fused.as_tensor()[:, air.as_tensor()].max()) <= 1


@pytest.mark.parametrize("window", ["auto", (-5.0, 10.0)], ids=["auto", "zero is not black"])
def test_outside_the_field_of_view_the_anatomy_stands_alone(head_pair, window):
    mr, pt = head_pair
    cut = make_volume(pt.as_tensor()[..., 12:20], _shifted(affine_ras(pt), 12), modality="PT")
    colours = ColourConfig(functional_window=window)
    made = fuse_pair(mr, cut, FusionConfig(registration=AS_IS, colour=colours))
    outside = ~made.field_of_view
    assert int(made.shown.rgb[:, outside].max()) == 0
    grey = colour.apply_window(mr.as_tensor()[0], made.picture.windows["anatomical"])
    fused = made.fused.as_tensor()[:, outside]
    assert torch.equal(fused, (grey[outside] * 255).round().to(torch.uint8).expand(3, -1))


def _shifted(affine, slices):
    moved = affine.copy()
    moved[:3, 3] += affine[:3, 2] * slices
    return moved


def test_a_grey_result_keeps_its_luminance(head_pair):
    config = FusionConfig(registration=AS_IS, colour=ColourConfig(colormap="none"))
    fused = fuse_pair(*head_pair, config).fused
    assert fused.shape[0] == 1
    assert 0 <= float(fused.min()) < float(fused.max()) <= 1


@pytest.mark.parametrize("plane", ["coronal", "sagittal", "triplanar"])
def test_other_planes_give_nearly_the_same_picture(plane, head_pair, result):
    config = FusionConfig(registration=AS_IS, engine=EngineConfig(plane=plane))
    other = fuse_pair(*head_pair, config).fused.as_tensor().float()
    assert (other - result.fused.as_tensor().float()).abs().mean() < 8


def test_scans_of_two_patients_are_refused_unless_forced(head_pair):
    scans = [_of_patient(v, name) for v, name in zip(head_pair, ("one", "two"), strict=True)]
    with pytest.raises(InputError, match="two patients: PatientID differ") as caught:
        fuse_pair(*scans, FusionConfig(registration=AS_IS))
    assert "one" not in str(caught.value).replace("one patient", "")
    forced = RegistrationConfig(method="none", force=True)
    record = fuse_pair(*scans, FusionConfig(registration=forced)).record
    assert any("PatientID differ" in warning for warning in record["warnings"])


def _on_a_device_that_is_full_at(monkeypatch, head_pair, full_at):
    """Fuse by an engine on a device of its own, and say where colours were made."""
    tried, fuse_at = [], pipeline._fuse_at

    def crowded(place, *rest):
        tried.append(place.type)
        if place.type in full_at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fuse_at(place, *rest)

    monkeypatch.setattr(pipeline, "_fuse_at", crowded)
    homes = iter([torch.device("meta")])
    monkeypatch.setattr(Engine, "home_of", lambda *_: next(homes, torch.device("cpu")))
    registered = register_pair(*head_pair, AS_IS)
    engine = Engine(RefineFuse.from_pretrained(), EngineConfig(device="cpu"))
    engine.device = torch.device("meta") if "cpu" in full_at else engine.device
    picture = fuse_registered(
        head_pair[0], registered.registered, registered.field_of_view, ColourConfig(), engine
    )
    return picture, tried


def test_where_a_device_has_no_room_for_colours_they_are_made_by_the_cpu(
    monkeypatch, head_pair, result
):
    picture, tried = _on_a_device_that_is_full_at(monkeypatch, head_pair, ("meta",))
    assert tried == ["meta", "cpu"]
    assert torch.equal(picture.fused, result.picture.fused)


def test_a_device_that_is_full_all_the_same_is_one_line(monkeypatch, head_pair):
    with pytest.raises(DeviceMemoryError, match=r"^meta: its memory is full"):
        _on_a_device_that_is_full_at(monkeypatch, head_pair, ("meta", "cpu"))


def test_one_scan_given_twice_is_told(head_pair):
    once, twice = (register_pair(head_pair[0], other, AS_IS).record for other in head_pair[::-1])
    said = "both scans hold the same values: was one of them given twice?"
    assert said not in once["warnings"]
    assert said in twice["warnings"]


def test_anatomy_and_function_the_wrong_way_round_are_told(head_pair, result):
    swapped = fuse_pair(*head_pair[::-1], FusionConfig(registration=AS_IS))
    said = "PT was given as the anatomy and MR as the function: swapped?"
    assert said in swapped.record["warnings"]
    assert not any("swapped" in warning for warning in result.record["warnings"])


def test_the_user_can_stop_it(head_pair):
    with pytest.raises(CancelledError):
        fuse_pair(*head_pair, monitor=Monitor(is_cancelled=lambda: True))


def test_the_record_names_everything_but_the_patient(result):
    assert set(result.record) == {
        "schema", "version", "inputs", "config", "registration", "fusion", "metrics", "warnings",
    }  # fmt: skip
    assert len(result.record["fusion"]["weights_sha256"]) == 64
    assert np.shape(result.record["registration"]["matrix_fixed_to_moving_lps"]) == (4, 4)


def test_what_is_asked_for_is_kept_where_colours_leave_no_room(head_pair):
    def made(keep: str) -> FusionResult:
        config = FusionConfig(registration=AS_IS, colour=ColourConfig(keep=keep))
        return fuse_pair(*head_pair, config)

    luminance, chroma = made("luminance"), made("chroma")
    y = luminance.picture.run.fused
    apart = [
        (colour.luminance(r.fused.as_tensor().float() / 255) - y).abs().max()
        for r in (luminance, chroma)
    ]
    assert apart[0] < 1.5 / 255 < 0.05 < apart[1]
    palette = colour.chroma(chroma.shown.rgb.float() / 255)
    errors = [
        (colour.chroma(r.fused.as_tensor().float() / 255) - palette).abs().mean()
        for r in (luminance, chroma)
    ]
    assert errors[1] < errors[0] / 3


def _in_frame(volume, uid):
    return with_frame_of_reference(like(volume, volume.as_tensor()), uid)


@pytest.mark.parametrize(("fixed", "moving"), [("1.2", "1.3"), ("1.2", None), (None, "1.3")])
def test_a_registered_volume_lies_in_the_frame_of_reference_of_fixed(head_pair, fixed, moving):
    mr, pt = _in_frame(head_pair[0], fixed), _in_frame(head_pair[1], moving)
    registered = register_pair(mr, pt, AS_IS).registered
    assert get_meta(registered, Keys.FRAME_OF_REFERENCE_UID) == fixed
    assert get_meta(pt, Keys.FRAME_OF_REFERENCE_UID) == moving
    applied = apply_transform(mr, [pt], np.eye(4)).volumes[0]
    assert get_meta(applied, Keys.FRAME_OF_REFERENCE_UID) == fixed
