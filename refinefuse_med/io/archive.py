"""Zip files of scans, unpacked without trusting them."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from refinefuse_med.errors import InputError
from refinefuse_med.progress import SILENT, Monitor

__all__ = ["MAX_BYTES", "MAX_FILES", "MAX_RATIO", "is_zip", "unpacked"]

MAX_FILES: Final = 100_000
"""Most files an archive may hold."""

MAX_BYTES: Final = 32 * 2**30
"""Most bytes an archive may unpack to."""

MAX_RATIO: Final = 200
"""Most that an archive of over `RATIO_FLOOR` bytes may grow; scans grow 2 to 20 times."""

RATIO_FLOOR: Final = 256 * 2**20
"""Unpacked size below which growth is not looked at: small masks of zeros grow 1000 times."""

_ENCRYPTED: Final = 0x1


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip does (also an empty or a damaged one)."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def unpacked(path: Path, monitor: Monitor = SILENT, only: Collection[str] = ()) -> Iterator[Path]:
    """Unpack a zip, or `only` these files of it, into a private folder, removed on leaving.

    Each file keeps the time that the zip gives it, so that it is known again. `monitor` is told
    how many files are unpacked, and asked whether to go on.

    Raises
    ------
    InputError
        Not a zip, damaged, encrypted, over a limit of this module, or with an entry that
        points outside the folder.
    """
    with tempfile.TemporaryDirectory(prefix="refinefuse-") as name:
        try:
            with zipfile.ZipFile(path) as archive:
                entries = [entry for entry in archive.infolist() if not entry.is_dir()]
                if only:
                    entries = [e for e in entries if str(PurePosixPath(e.filename)) in only]
                _check(entries, path, free=shutil.disk_usage(name).free)
                for entry in monitor.watch("unpacking", entries, len(entries)):
                    # zipfile stops at the declared size and checks the CRC at the end.
                    _date(Path(archive.extract(entry, name)), entry)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"the zip file is damaged ({error})", where=path) from error
        except (NotImplementedError, OSError) as error:
            raise InputError(f"cannot unpack the zip file ({error})", where=path) from error
        yield Path(name)


def _date(path: Path, entry: zipfile.ZipInfo) -> None:
    try:
        at = datetime(*entry.date_time, tzinfo=UTC).timestamp()
    except ValueError:  # some programs write the 0th of January
        at = 0.0
    os.utime(path, (at, at))


def _check(entries: list[zipfile.ZipInfo], path: Path, free: int) -> None:
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if len(entries) > MAX_FILES:
        raise InputError(f"{len(entries)} files in the zip, more than {MAX_FILES}", where=path)
    if size > MAX_BYTES:
        raise InputError(f"the zip unpacks to more than {MAX_BYTES / 2**30:g} GiB", where=path)
    if size > RATIO_FLOOR and size > MAX_RATIO * max(packed, 1):
        raise InputError(f"the zip grows more than {MAX_RATIO} times when unpacked", where=path)
    if size > free:
        raise InputError(
            f"the zip unpacks to {size / 2**30:.1f} GiB and the temporary folder has no room",
            where=path,
        )
    if len({entry.filename for entry in entries}) < len(entries):
        raise InputError("two files of one name in the zip", where=path, hint="unpack it first")
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            raise InputError("the zip is encrypted", where=path, hint="unpack it first")
        if _escapes(entry.filename):
            raise InputError("an entry of the zip points outside its folder", where=path)


def _escapes(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return (
        posix.is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts
    )  # Windows parts split at both slashes
