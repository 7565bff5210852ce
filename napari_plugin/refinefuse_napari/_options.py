"""What the user wants of the configurations, as it is typed and ticked."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from refinefuse_med.config import FusionConfig, RegistrationConfig
from refinefuse_med.errors import UsageError
from refinefuse_napari import _texts as texts

__all__ = ["Options"]


class Options:
    """Values by group and name of `FusionConfig`; what is not noted is left at its default."""

    def __init__(self) -> None:
        self._noted: dict[str, dict[str, Any]] = {}

    @property
    def registration(self) -> RegistrationConfig:
        """That of the alignment, which can always be: it is chosen, and not typed."""
        return RegistrationConfig.model_validate(self._noted.get("registration", {}))

    def note(self, group: str, name: str, value: Any) -> None:
        """Note a value, whether it can be or not."""
        self._noted.setdefault(group, {})[name] = value

    def config(self) -> FusionConfig:
        """What the values come to.

        Raises
        ------
        UsageError
            One of them cannot be.
        """
        try:
            return FusionConfig.model_validate(self._noted)
        except ValidationError as error:
            # The last is of the most particular of the forms that a value may have.
            last = error.errors()[-1]
            what = last["msg"].removeprefix("Value error, ")
            where = str(last["loc"][1]).replace("_", " ")
            raise UsageError(what, where=where, hint=texts.SEE_FUSE) from error
