"""Options that several subcommands share, and what they turn into."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from refinefuse_med.errors import CancelledError, UsageError

if TYPE_CHECKING:
    from refinefuse_med.config import (
        EngineConfig,
        FusionConfig,
        OutputConfig,
        RegistrationConfig,
    )
    from refinefuse_med.progress import Monitor

__all__ = [
    "allow_gaps_option",
    "device_option",
    "engine_config",
    "fusion_config",
    "fusion_options",
    "if_exists_option",
    "keep_option",
    "key_option",
    "local_contrast_option",
    "log",
    "logging_options",
    "method_option",
    "model_option",
    "monitor_of",
    "out_option",
    "output_config",
    "print_json",
    "registration_config",
    "report_option",
    "seed_option",
    "series_option",
    "start_logging",
    "warn_of",
]

_F = TypeVar("_F", bound=Callable[..., Any])

log = logging.getLogger("refinefuse_med")


def _stack(*options: Callable[[Any], Any]) -> Callable[[_F], _F]:
    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


out_option = click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder to make."
)

if_exists_option = click.option(
    "--if-exists",
    type=click.Choice(["fail", "skip", "overwrite"]),
    default="fail",
    show_default=True,
    help="What to do where OUT is there already; overwrite replaces the whole folder.",
)

device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|cuda:N|mps",
    help="Where the network runs; one asked for by name and absent is an error.",
)

model_option = click.option(
    "--model", type=click.Path(path_type=Path), help="Weights file; the one in the package."
)

local_contrast_option = click.option(
    "--local-contrast",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="How much of the local contrast of both scans is mixed into what the network makes."
    " 1: what one scan alone shows, such as a lesion, stands out as it does there.",
)

key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    help="File with the key of the pseudonyms; by default one in your configuration folder.",
)

logging_options = _stack(
    click.option("-q", "--quiet", is_flag=True, help="Errors only."),
    click.option("-v", "--verbose", is_flag=True, help="Details, and tracebacks of errors."),
    click.option("--log-json", is_flag=True, help="Log lines as JSON objects."),
    click.option("--no-progress", is_flag=True, help="No progress bar."),
)


_METHODS = ("auto", "none", "header", "rigid", "affine", "deformable")


def method_option(flag: str, *more: str) -> Callable[[_F], _F]:
    """The registration method, under the flag that the subcommand gives it."""
    return click.option(
        flag,
        "method",
        type=click.Choice([*_METHODS, *more]),
        default="auto",
        show_default=True,
        help="auto: header where both share a frame of reference, else rigid. deformable: rigid,"
        " then a smooth deformation; for bodies, not for heads.",
    )


def series_option(*flags: str) -> Callable[[_F], _F]:
    """Which series of several, under the flags of its role."""
    return click.option(
        *flags,
        metavar="UID[#N]",
        help="The series to take, by its UID; the Nth volume of it where inspect lists several.",
    )


def keep_option(default: str) -> Callable[[_F], _F]:
    """What is kept where colours leave no room, with the default of the subcommand."""
    return click.option(
        "--keep",
        type=click.Choice(["luminance", "chroma"]),
        default=default,
        show_default=True,
        help="Where a saturated colour has no room for the fused brightness: keep the brightness"
        " (the anatomy shows through), or the colour (true to the palette).",
    )


allow_gaps_option = click.option(
    "--allow-gaps",
    is_flag=True,
    help="Interpolate missing slices, which are refused otherwise.",
)

report_option = click.option(
    "--report/--no-report", default=None, help="Also write report.html, with the pictures."
)

seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the registration.",
)

fusion_options = _stack(
    method_option("--register"),
    click.option(
        "--force",
        is_flag=True,
        help="Fuse although the registration is judged failed, or the headers name two patients.",
    ),
    seed_option,
    click.option(
        "--plane",
        type=click.Choice(["axial", "coronal", "sagittal", "triplanar"]),
        default="axial",
        show_default=True,
        help="Slices that the network sees.",
    ),
    click.option(
        "--colormap",
        type=click.Choice(["auto", "hot_iron", "pet", "hot_metal_blue", "pet_20_step", "none"]),
        default="auto",
        show_default=True,
        help="auto: hot_iron for PT and NM, none (a grey result) for CT.",
    ),
    keep_option("luminance"),
    local_contrast_option,
    click.option(
        "--anatomical-window",
        default="auto",
        show_default=True,
        metavar="LOW,HIGH",
        help="In the volume's units.",
    ),
    click.option(
        "--functional-window",
        default="auto",
        show_default=True,
        metavar="LOW,HIGH",
        help="In the volume's units, such as SUVbw.",
    ),
    click.option(
        "--format",
        "formats",
        metavar="nifti,dicom,mha,nrrd",
        help="One or several; that of the anatomical input by default.",
    ),
    click.option(
        "--deidentify",
        is_flag=True,
        help="Clean all headers by the basic profile of DICOM PS3.15, UIDs by a key.",
    ),
    click.option("--contribution", is_flag=True, help="Also the share of the functional scan."),
    click.option("--multiframe", is_flag=True, help="DICOM: the fused volume as one object."),
    click.option(
        "--quantitative",
        is_flag=True,
        help="DICOM: the registered functional volume as a Parametric Map, in float32.",
    ),
    click.option("--colour-bar", is_flag=True, help="DICOM: also the colour bar, as an image."),
    click.option(
        "--deterministic-uids",
        is_flag=True,
        help="DICOM: the same UIDs for the same inputs and options, so that an archive replaces.",
    ),
    device_option,
    model_option,
    if_exists_option,
    click.option(
        "--preview/--no-preview",
        default=None,
        help="Also write preview.png, and alignment.png: checkerboard and edges.",
    ),
    report_option,
)


def _validated(build: Callable[[], Any]) -> Any:
    from pydantic import ValidationError

    try:
        return build()
    except ValidationError as error:
        # Of a window that is neither auto nor two good numbers, the last says what is wrong.
        last = error.errors()[-1]
        name = "--" + str(last["loc"][0] if last["loc"] else "option").replace("_", "-")
        said = last["msg"].removeprefix("Value error, ")
        if last["type"] == "string_pattern_mismatch":
            said = f"{last['input']!r} is not one of those it takes"
        raise UsageError(said, where=name, hint="see --help") from None


def _window(text: str, option: str) -> Any:
    if text == "auto":
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{text!r} is not LOW,HIGH", where=option, hint="such as --functional-window 0,10"
        ) from None
    return low, high


def registration_config(options: dict[str, Any]) -> RegistrationConfig:
    """The configuration of the registration alone."""
    from refinefuse_med import config

    names = ("method", "seed", "force", "control_spacing_mm")
    given = {name: options[name] for name in names if name in options}
    built: RegistrationConfig = _validated(lambda: config.RegistrationConfig(**given))
    return built


def engine_config(options: dict[str, Any]) -> EngineConfig:
    """How the network is run."""
    from refinefuse_med import config

    names = ("plane", "device", "model", "local_contrast")
    given = {name: options[name] for name in names if name in options}
    built: EngineConfig = _validated(lambda: config.EngineConfig(**given))
    return built


def fusion_config(options: dict[str, Any]) -> FusionConfig:
    """The configuration that the options of `fusion_options` ask for."""
    from refinefuse_med import config

    windows = {
        name: _window(options[name], "--" + name.replace("_", "-"))
        for name in ("anatomical_window", "functional_window")
    }
    return config.FusionConfig(
        registration=registration_config(options),
        colour=_validated(
            lambda: config.ColourConfig(
                colormap=options["colormap"], keep=options["keep"], **windows
            )
        ),
        engine=engine_config(options),
    )


def output_config(options: dict[str, Any], *, pictures: bool = False) -> OutputConfig:
    """What the options ask to be written; `pictures`: preview and report by default."""
    from refinefuse_med import config

    formats = tuple(part.strip() for part in (options.get("formats") or "").split(",") if part)
    known = ("nifti", "dicom", "mha", "nrrd")
    if unknown := [part for part in formats if part not in known]:
        raise UsageError(
            f"unknown format {unknown[0]!r}", where="--format", hint=f"one of {', '.join(known)}"
        )
    wanted = {
        name: pictures if options.get(name) is None else options[name]
        for name in ("preview", "report")
    }
    given = {name: options[name] for name in config.OutputConfig.model_fields if name in options}
    built: OutputConfig = _validated(
        lambda: config.OutputConfig.model_validate({**given, "formats": formats, **wanted})
    )
    return built


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "message": record.getMessage(),
                **getattr(record, "fields", {}),
            }
        )


def start_logging(options: dict[str, Any]) -> None:
    """Send our log lines, and nobody else's chatter, to stderr."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if options["log_json"]:
        handler.setFormatter(_JsonFormatter())
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(console=Console(stderr=True), show_path=False, show_time=False)
    else:
        # In a file or a pipe each message keeps to one line.
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    quiet, verbose = options["quiet"], options["verbose"]
    log.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)
    if not verbose:
        # Libraries warn about each odd header; what matters to the user is in our record.
        warnings.simplefilter("ignore")
        logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@contextmanager
def monitor_of(options: dict[str, Any]) -> Iterator[Monitor]:
    """A monitor that draws a progress bar on a terminal, and stops all threads at Ctrl-C."""
    from refinefuse_med.progress import Monitor

    with _interruptible() as is_cancelled:
        hidden = options["quiet"] or options["no_progress"] or options["log_json"]
        if hidden or not sys.stderr.isatty():
            yield Monitor(is_cancelled=is_cancelled)
            return
        from rich.console import Console
        from rich.progress import Progress, TaskID

        with Progress(console=Console(stderr=True), transient=True) as progress:
            tasks: dict[str, TaskID] = {}

            def show(stage: str, fraction: float) -> None:
                if stage not in tasks:
                    tasks[stage] = progress.add_task(stage, total=1.0)
                progress.update(tasks[stage], completed=fraction)

            yield Monitor(on_progress=show, is_cancelled=is_cancelled)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C be seen by worker threads too, which the main thread has to wait for."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return

    def interrupt(number: int, frame: Any) -> None:
        stop.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop.is_set
    except CancelledError:
        # A thread was faster to stop than the main thread to hear of it.
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


def warn_of(record: dict[str, Any]) -> None:
    """Repeat a record's warnings as log lines."""
    for text in record["warnings"]:
        log.warning("%s", text)


def print_json(record: Any) -> None:
    """Write a record to stdout."""
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    # File names may hold bytes that are no UTF-8, which JSON must not.
    click.echo(text.encode("utf-8", errors="replace").decode())
