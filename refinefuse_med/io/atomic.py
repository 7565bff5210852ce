"""Outputs that appear whole or not at all: folders and single files."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

from refinefuse_med.errors import OutputError

__all__ = ["AtomicFolder", "atomic_file"]

IfExists = Literal["fail", "skip", "overwrite"]

_PARTIAL: Final = ".refinefuse-partial-"
"""Prefix of everything unfinished; short, so that a long output name does not overflow."""

_REASONS: Final = {
    errno.ENOSPC: ("the disk is full", "free some space, or write elsewhere"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or write elsewhere"),
    errno.EFBIG: ("the file system cannot hold a file this large", "write elsewhere"),
    errno.EROFS: ("the file system is read-only", "write elsewhere"),
    errno.EACCES: ("no permission to write here", "write elsewhere, or change the permissions"),
    errno.EPERM: ("no permission to write here", "write elsewhere, or change the permissions"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another output"),
}
_ALWAYS_OURS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Causes that only writing has, wherever the error names no file."""


class AtomicFolder:
    """A folder that is written beside its place, and moved there once it is complete.

    As a context manager it gives the temporary folder to write into. On success that
    becomes `out`; on any exception, an interrupt included, it is removed together with
    the parents made for it, and `out` is as it was before.

    Parameters
    ----------
    out : Path
        The folder to make. A symbolic link is followed, and stays.
    if_exists : {"fail", "skip", "overwrite"}
        What to do where `out` exists: refuse, tell the caller by `check` that there is
        nothing to do, or replace it, the old folder staying in place until the new one
        is complete.
    inputs : iterable of Path
        What is being read: `out` may not replace it.

    Examples
    --------
    >>> folder = AtomicFolder(Path("out"), "skip")  # doctest: +SKIP
    >>> if folder.check():  # before the work that is to be written
    ...     with folder as partial:
    ...         (partial / "result.json").write_text("{}")
    """

    def __init__(
        self, out: str | Path, if_exists: IfExists = "fail", *, inputs: Iterable[str | Path] = ()
    ) -> None:
        self._shown = Path(out)
        self._out = Path(os.path.realpath(out))
        self._if_exists = if_exists
        self._inputs = [Path(os.path.realpath(path)) for path in inputs]
        self._partial: Path | None = None
        self._made_parents: list[Path] = []

    def check(self) -> bool:
        """Whether there is something to write.

        Returns
        -------
        bool
            False where `out` exists and is to be skipped.

        Raises
        ------
        OutputError
            `out` exists and may not be replaced, or cannot be made.
        """
        if os.path.lexists(self._out):
            if self._if_exists == "fail":
                raise OutputError(
                    "already exists",
                    where=self._shown,
                    hint="choose another output, or --if-exists skip or overwrite",
                )
            if not self._out.is_dir():
                raise OutputError(
                    "is a file, not a folder", where=self._shown, hint="choose another output"
                )
            if self._if_exists == "skip":
                return False
            self._refuse_precious()
        ancestor = next(path for path in self._out.parents if os.path.lexists(path))
        if not ancestor.is_dir():
            raise OutputError(
                "a part of the path is a file, not a folder",
                where=self._shown,
                hint="choose another output",
            )
        if not os.access(ancestor, os.W_OK | os.X_OK):
            raise OutputError(
                "no permission to write here",
                where=self._shown,
                hint="write elsewhere, or change the permissions",
            )
        return True

    def _refuse_precious(self) -> None:
        for path in (*self._inputs, Path.home(), Path(os.path.realpath(os.curdir))):
            if path == self._out or self._out in path.parents:
                raise OutputError(
                    f"will not be replaced: it holds {path}",
                    where=self._shown,
                    hint="choose another output",
                )

    def __enter__(self) -> Path:
        if not self.check():
            raise OutputError("already exists", where=self._shown)
        try:
            self._make_parents()
            self._partial = self._beside()
            self._partial.mkdir()
        except OSError as error:
            self._discard()
            raise _explained(error, self._shown) from error
        except BaseException:
            self._discard()
            raise
        return self._partial

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            try:
                self._commit()
            except OSError as failure:
                self._discard()
                raise _explained(failure, self._shown) from failure
            except BaseException:
                self._discard()
                raise
            return
        ours = isinstance(error, OSError) and self._is_ours(error)
        self._discard()
        if ours and isinstance(error, OSError):
            raise _explained(error, self._shown) from error
        if isinstance(error, OutputError) and str(self._partial) in (error.where or ""):
            # Nobody but us knows what an unfinished file is called.
            raise OutputError(error.what, where=self._shown, hint=error.hint) from error

    def _beside(self) -> Path:
        return self._out.parent / f"{_PARTIAL}{secrets.token_hex(4)}"

    def _make_parents(self) -> None:
        for parent in reversed(self._out.parents):
            if not parent.is_dir():
                parent.mkdir(exist_ok=True)
                self._made_parents.append(parent)

    def _commit(self) -> None:
        partial = self._partial
        assert partial is not None
        for path in partial.rglob("*"):
            if path.is_file():
                _flush(path)
        old = None
        if os.path.lexists(self._out):
            if self._if_exists != "overwrite":
                raise OutputError("was made meanwhile by someone else", where=self._shown)
            old = self._beside()
            self._out.rename(old)
        try:
            partial.rename(self._out)
        except BaseException:
            if old is not None:
                old.rename(self._out)
            raise
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    def _discard(self) -> None:
        if self._partial is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
        for parent in reversed(self._made_parents):
            with suppress(OSError):  # someone else may have begun to use it
                parent.rmdir()

    def _is_ours(self, error: OSError) -> bool:
        if error.errno in _ALWAYS_OURS:
            return True
        return isinstance(error.filename, str) and str(self._partial) in error.filename


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary file beside `path`, of the same suffix, that replaces it on success.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f"{_PARTIAL}{secrets.token_hex(4)}{''.join(path.suffixes[-2:])}")
    try:
        yield partial
        # An unfinished folder is flushed as a whole when it is complete.
        if not any(part.startswith(_PARTIAL) for part in path.parts):
            _flush(partial)
        partial.replace(path)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        with suppress(OSError):  # a read-only file system refuses to look even
            partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the file on the disk before its name is: else a power cut leaves it empty."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _explained(error: OSError, where: Path) -> OutputError:
    while error.errno is None and isinstance(error.__cause__, OSError):
        error = error.__cause__  # pydicom wraps what befalls it, traceback and all
    reason, hint = _REASONS.get(
        error.errno or 0, (f"cannot be written ({error.strerror or error})", "choose another one")
    )
    return OutputError(reason, where=where, hint=hint)
