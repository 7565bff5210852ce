"""The ``refinefuse`` console script: subcommands loaded only when they are called."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

from refinefuse_med import __version__
from refinefuse_med.errors import RefineFuseError, told

__all__ = ["cli", "main"]

_COMMANDS = {
    "fuse": "Register and fuse two scans of one patient.",
    "register": "Bring a moving scan onto a fixed one, with a verdict.",
    "fuse-slices": "Fuse folders of PNG slices that are already registered.",
    "evaluate": "Measure fused PNG slices against their sources.",
    "batch": "Find the pairs in a folder of studies, and fuse each.",
    "receive": "Take scans that an archive sends, for batch --watch.",
    "inspect": "Say what a folder, file or zip holds, and what is usable.",
    "send": "Send what was written to an archive: C-STORE or STOW-RS.",
    "train": "Train the network from a configuration.",
    "export": "Write the network as an ONNX file.",
    "gui": "Open napari with the panel, and inputs as layers.",
    "sample-data": "Write the simulated sample study.",
    "info": "Versions, devices and weights, for a bug report.",
}


class _LazyGroup(click.Group):
    """A group whose subcommands are imported by name, so that ``--help`` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"refinefuse_med.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The one-line helps are kept here, so that no subcommand is imported to list them.
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="refinefuse")
def cli() -> None:
    """Fuse MRI with PET, SPECT or CT of one patient. For research use, not for diagnosis.

    Exit status: 0 all done; 1 nothing could be done; 2 usage; 3 no pair found;
    4 geometry or frame of reference refused, or registration judged failed;
    5 model missing or damaged; 8 some pairs done, some failed.
    """


@contextmanager
def _heeding_sigterm() -> Iterator[list[int]]:
    """Have SIGTERM do what Ctrl-C does, so that nothing unfinished is left behind.

    The list is empty until it comes.
    """
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        came.append(number)
        tell = signal.getsignal(signal.SIGINT)
        if callable(tell):
            tell(signal.SIGINT, frame)  # those who have threads to stop, too
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def main(args: list[str] | None = None) -> None:
    """Run the command line, and exit with the status of design section 4."""
    arguments = sys.argv[1:] if args is None else args
    with _heeding_sigterm() as terminated:
        status = _run(arguments, terminated)
    sys.exit(status)


def _run(arguments: list[str], terminated: list[int]) -> int:
    """Do what is asked, say what went wrong, and give the exit status."""
    try:
        status: object = cli.main(args=arguments, prog_name="refinefuse", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"refinefuse: {'terminated' if terminated else 'interrupted'}", err=True)
        return 128 + (signal.SIGTERM if terminated else signal.SIGINT)
    except BrokenPipeError:
        # The reader of a pipe has gone; a second complaint at interpreter exit helps nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _report(told(error, hint="run again with -v for details"), arguments)
    return status if isinstance(status, int) else 0


def _report(error: RefineFuseError, arguments: list[str]) -> int:
    if any(a in ("-v", "-vv", "--verbose") for a in arguments):
        import traceback

        traceback.print_exc()
    click.echo(f"refinefuse: error: {error}", err=True)
    return error.exit_status
