import pytest


@pytest.fixture(autouse=True)
def _own_key(tmp_path, monkeypatch):
    """No test makes or reads the key in the configuration folder of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
