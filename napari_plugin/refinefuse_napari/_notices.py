"""Errors as napari's notifications."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_error

from refinefuse_med.errors import CancelledError, RefineFuseError, is_out_of_memory, told
from refinefuse_napari import _texts as texts

__all__ = ["notify"]


def notify(error: Exception) -> None:
    """Show what is foreseen, full memory too, in one line, and any other error whole.

    That the user stopped something is no news to them.
    """
    if isinstance(error, CancelledError):
        return
    if isinstance(error, RefineFuseError) or is_out_of_memory(error):
        show_error(str(told(error, hint=texts.REPORT_IT)))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)
