import pickle

import pytest

from refinefuse_med import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_process_borders(name):
    error = getattr(errors, name)("broken", where="a/b.nii", hint="mend it")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is type(error)
    assert str(again) == "a/b.nii: broken; mend it"


def test_exit_statuses_are_those_of_the_contract():
    statuses = {name: getattr(errors, name).exit_status for name in errors.__all__}
    assert statuses["UsageError"] == 2
    assert statuses["NoPairError"] == 3
    assert statuses["GeometryError"] == statuses["RegistrationFailedError"] == 4
    assert statuses["ModelError"] == 5
    assert statuses["InputError"] == statuses["OutputError"] == statuses["DeviceError"] == 1
