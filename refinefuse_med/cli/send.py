"""``refinefuse send``: what was written, to an archive."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from refinefuse_med.cli.options import log, logging_options, monitor_of, print_json, start_logging
from refinefuse_med.errors import OutputError, UsageError

if TYPE_CHECKING:
    from refinefuse_med.io.pacs.outbox import Delivery, Letter
    from refinefuse_med.progress import Monitor


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--to", metavar="AET@HOST:PORT", help="Send by C-STORE, after a C-ECHO.")
@click.option("--dicomweb", metavar="URL", help="Send by STOW-RS.")
@click.option(
    "--aet", default="REFINEFUSE", show_default=True, help="What to call ourselves for --to."
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How often to send again what met no connection, or a busy archive.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Most seconds to wait for an answer.",
)
@click.option("--json", "as_json", is_flag=True, help="What became of each file, on stdout.")
@logging_options
@click.pass_context
def send(
    ctx: click.Context,
    /,
    out: Path,
    to: str | None,
    dicomweb: str | None,
    aet: str,
    retries: int,
    timeout: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Send the DICOM files below OUT (a folder, or one file) to an archive.

    Exit status: 0 all stored; 1 none; 8 some.

    For --dicomweb a bearer token is taken from the environment (REFINEFUSE_DICOMWEB_TOKEN), or the
    password (REFINEFUSE_DICOMWEB_PASSWORD) of a user that the URL names: https://user@host/path.
    """
    start_logging(options)
    if (to is None) == (dicomweb is None):
        raise UsageError("give either --to or --dicomweb", hint="see --help")

    from refinefuse_med.io.pacs.outbox import outbox

    if to is not None:
        from refinefuse_med.io.pacs.dimse import Peer, echo
        from refinefuse_med.io.pacs.dimse import store as c_store

        peer = Peer.parse(to, calling_ae_title=aet, timeout_s=timeout)
        letters = outbox(out)
        echo(peer)
        with monitor_of(options) as monitor:
            told = _telling(letters, monitor)
            deliveries = c_store(letters, peer, retries=retries, on_delivery=told)
    else:
        from refinefuse_med.io.pacs.dicomweb import store as stow

        letters = outbox(out)
        with monitor_of(options) as monitor:
            told = _telling(letters, monitor)
            deliveries = stow(
                letters, str(dicomweb), retries=retries, timeout_s=timeout, on_delivery=told
            )
    counts = Counter(delivery.status for delivery in deliveries)
    log.info("%s", ", ".join(f"{number} {status}" for status, number in counts.items()))
    if as_json:
        print_json({"files": [delivery.to_dict() for delivery in deliveries]})
    if counts["failed"] == len(deliveries):
        raise OutputError(
            f"none of {len(deliveries)} files was stored ({deliveries[0].reason})", where=out
        )
    ctx.exit(8 if counts["failed"] else 0)


def _telling(letters: list[Letter], monitor: Monitor) -> Any:
    known = 0

    def tell(delivery: Delivery) -> None:
        nonlocal known
        known += 1
        monitor.update("sent", known / len(letters))
        if delivery.status == "failed":
            log.error("%s: %s", delivery.name, delivery.reason)
        elif delivery.status == "warning":
            log.warning("%s: stored, but %s", delivery.name, delivery.reason)
        else:
            log.debug("%s: stored", delivery.name)

    return tell
