"""``refinefuse receive``: a C-STORE receiver that fills a folder for ``batch --watch``."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import click

from refinefuse_med.cli.options import log, logging_options, out_option, start_logging


@click.command()
@out_option
@click.option("--port", type=click.IntRange(0, 65535), default=11112, show_default=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 lets other machines send.",
)
@click.option("--aet", default="REFINEFUSE", show_default=True, help="What to be called.")
@click.option("--caller", multiple=True, metavar="AET", help="Who may send; anybody by default.")
@logging_options
def receive(
    out: Path, port: int, host: str, aet: str, caller: tuple[str, ...], **options: Any
) -> None:
    """Take what an archive or a scanner sends by C-STORE, and file it below OUT, by series.

    Beside it, refinefuse batch OUT -o RESULTS --watch fuses what has arrived. Anybody who reaches
    the port can send: keep it within a network that you trust. Ends with Ctrl-C.
    """
    start_logging(options)

    from refinefuse_med.io.pacs.receiver import receiving

    counts: Counter[Path] = Counter()

    def count(path: Path) -> None:
        counts[path.parent] += 1
        if counts[path.parent] == 1:
            log.info("series %s is arriving", path.parent.name)

    with receiving(out, port, host=host, ae_title=aet, callers=caller, on_file=count) as bound:
        log.info("%s listens on %s:%d; Ctrl-C ends it", aet, host, bound)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            log.info("%d files of %d series were received", counts.total(), len(counts))
