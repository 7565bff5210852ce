import pickle

import pytest
import SimpleITK as sitk
import torch

from refinefuse_med import errors
from refinefuse_med.errors import is_out_of_memory, told

CLASSES = [name for name in errors.__all__ if name.endswith("Error")]


@pytest.mark.parametrize("name", CLASSES)
def test_errors_survive_process_borders(name):
    error = getattr(errors, name)("broken", where="a/b.nii", hint="mend it")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert str(again) == "a/b.nii: broken; mend it"


def test_exit_statuses_are_those_of_the_contract():
    statuses = {name: getattr(errors, name).exit_status for name in CLASSES}
    assert statuses["UsageError"] == 2
    assert statuses["NoPairError"] == 3
    assert statuses["GeometryError"] == statuses["RegistrationFailedError"] == 4
    assert statuses["ModelError"] == 5
    assert statuses["InputError"] == statuses["OutputError"] == statuses["DeviceError"] == 1
    assert statuses["DeviceMemoryError"] == statuses["RefineFuseError"] == 1


def _raised(call):
    with pytest.raises(Exception) as raised:  # noqa: PT011  whatever it is
        call()
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        MemoryError(),
        errors.DeviceMemoryError("full"),
        _raised(lambda: torch.empty(2**60, dtype=torch.uint8)),
        _raised(lambda: bytearray(2**60)),
        _raised(lambda: sitk.Image([2**20, 2**20, 2**20], sitk.sitkUInt8)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_full_memory_is_known_by_whoever_meets_it(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        ValueError("out of memory"),
        errors.DeviceError("the device failed"),
    ],
)
def test_full_memory_is_told_from_other_errors(error):
    assert not is_out_of_memory(error)


def test_any_error_is_told_in_one_line_with_what_to_do():
    own = errors.InputError("empty", where="a.nii")
    assert told(own, hint="look") is own
    assert str(told(KeyError("a\n  b"), hint="look")) == "unexpected KeyError: 'a\\n b'; look"
    full = told(torch.OutOfMemoryError("CUDA out of memory.\nTried"), hint="look")
    assert str(full) == "not enough memory; close other programs, or use scans of fewer voxels"
    assert str(told(MemoryError(), hint="", memory_hint="less")) == "not enough memory; less"
