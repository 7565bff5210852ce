"""Every error a user can meet: what is wrong, where, and what to do.

Each error class carries the exit status that the command line ends with, so that
the mapping of design section 4 stands in one place.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "CancelledError",
    "DeviceError",
    "DeviceMemoryError",
    "GeometryError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NoPairError",
    "OutputError",
    "RefineFuseError",
    "RegistrationFailedError",
    "UsageError",
    "is_out_of_memory",
    "told",
]

_MEMORY_TEXTS: Final = (
    "out of memory",  # CUDA libraries, MPS
    "not enough memory",  # PyTorch's DefaultCPUAllocator on Windows and macOS
    "can't allocate memory",  # and on Linux
    "Failed to allocate memory",  # ITK
)


class RefineFuseError(Exception):
    """Base of all errors meant for the user's eyes.

    Parameters
    ----------
    what : str
        What is wrong, in one short clause.
    where : str, optional
        The file, folder, option or series it concerns.
    hint : str, optional
        What to do about it.
    """

    exit_status = 1

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        text = text if self.hint is None else f"{text}; {self.hint}"
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost by the default pickling of exceptions,
        # and errors cross process borders in batch runs.
        return (_rebuild, (type(self), self.what, self.where, self.hint))


def _rebuild(
    kind: type[RefineFuseError], what: str, where: str | None, hint: str | None
) -> RefineFuseError:
    return kind(what, where=where, hint=hint)


class UsageError(RefineFuseError):
    """An option or argument that cannot be understood."""

    exit_status = 2


class InputError(RefineFuseError):
    """An input that is not a clean volume: unreadable, truncated, empty, not finite."""


class OutputError(RefineFuseError):
    """A result that cannot be written: the folder exists, is read-only, the disk is full."""


class DeviceError(RefineFuseError):
    """A device asked for by name that this machine does not have, or that failed."""


class DeviceMemoryError(DeviceError):
    """A device whose memory is too small, or is taken by others."""


class MissingExtraError(RefineFuseError):
    """A feature whose optional dependency is not installed."""


class NoPairError(RefineFuseError):
    """No anatomical and functional series that belong together."""

    exit_status = 3


class GeometryError(RefineFuseError):
    """A geometry or frame of reference that cannot be trusted."""

    exit_status = 4


class RegistrationFailedError(RefineFuseError):
    """A registration judged failed."""

    exit_status = 4


class ModelError(RefineFuseError):
    """Weights that are missing, damaged, or of another network."""

    exit_status = 5


class CancelledError(RefineFuseError):
    """The user asked to stop."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, be it the machine's or a device's.

    PyTorch, whose own kinds of it are RuntimeErrors, need not be imported to tell.
    """
    if isinstance(error, (MemoryError, DeviceMemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    is_torchs = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return is_torchs or any(text in str(error) for text in _MEMORY_TEXTS)


def told(
    error: Exception,
    *,
    hint: str,
    memory_hint: str = "close other programs, or use scans of fewer voxels",
) -> RefineFuseError:
    """What to tell the user of any error: of our own just that, of others what they were.

    Parameters
    ----------
    error : Exception
    hint : str
        What to do about one that nobody expected.
    memory_hint : str
        What to do about too little memory.
    """
    if isinstance(error, RefineFuseError):
        return error
    if is_out_of_memory(error):
        return RefineFuseError("not enough memory", hint=memory_hint)
    said = " ".join(str(error).split())
    return RefineFuseError(f"unexpected {type(error).__name__}: {said}", hint=hint)
