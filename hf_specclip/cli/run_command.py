"""Command lines: output as plain text, and a sentence at every end."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any

from ..errors import SpecCLIPError
from ..formatting import plain

_FULL = (errno.ENOSPC, errno.EDQUOT)
# Writers in other languages name a full disk in words only.
_FULL_IN_WORDS = re.compile(r"no space left|os error (28|122)\b|disk quota exceeded", re.IGNORECASE)
_STOPPED = 130


class PlainOutput:
    """Stream that writes plain text, in the characters that its encoding has.

    Args:
        stream: such as `sys.stdout`.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write a text."""
        self._stream.write(plain(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run_command(
    name: str,
    work: Callable[[], int | None],
    *,
    failed: int = 1,
    expected: tuple[type[Exception], ...] = (SpecCLIPError,),
) -> int:
    """Run a command; whatever ends it, standard error gets a sentence and no traceback.

    Args:
        name: that begins the sentence.
        work: returns the exit status, None for 0.
        failed: exit status after an error or on a full disk.
        expected: errors whose message is for the user; others are a fault of ours and pass.

    Returns:
        The exit status; 130 after Ctrl-C.
    """

    def stop(*_: Any) -> None:
        # An exception inside the import of torch would abort the process.
        if getattr(getattr(sys.modules.get("torch"), "__spec__", None), "_initializing", False):
            tell(f"{name}: stopped")
            os._exit(_STOPPED)
        raise KeyboardInterrupt

    output = sys.stdout
    sys.stdout = PlainOutput(output)  # type: ignore[assignment]
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        if on_interrupt is signal.default_int_handler and current_thread() is main_thread():
            signal.signal(signal.SIGINT, stop)
        status = work() or 0
        output.flush()
        return status
    except BrokenPipeError:  # the reader of the pipe has closed it
        _discard(output)
        return 0
    except KeyboardInterrupt:
        tell(f"{name}: stopped")
        return _STOPPED
    except Exception as error:
        if _is_full(error):
            _discard(output)
            file = getattr(error, "filename", None)
            where = f" ({file})" if file else ""
            tell(f"{name}: the disk is full{where}: make room and run again")
        elif isinstance(error, expected):
            tell(f"{name}: {error}")
        elif isinstance(error, MemoryError):
            tell(f"{name}: out of memory: give fewer or smaller files")
        elif isinstance(error, RecursionError):
            tell(f"{name}: data nested too deeply: fetch or write the files again")
        else:
            raise
        return failed
    finally:
        sys.stdout = output
        if signal.getsignal(signal.SIGINT) is stop:
            signal.signal(signal.SIGINT, on_interrupt)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return not isinstance(error, SpecCLIPError) and bool(_FULL_IN_WORDS.search(str(error)))


def tell(sentence: str) -> None:
    """Write a sentence to standard error, as plain text."""
    print(plain(sentence), file=sys.stderr, flush=True)


def _discard(output: Any) -> None:
    """Let what a stream still holds go nowhere: Python flushes it once more when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, output.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # no stream of the system's
        pass
