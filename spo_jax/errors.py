"""What a user can put right: `UserError`, the wording of "did you mean", and a full disk."""

import contextlib
import difflib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator


class UserError(ValueError):
    """Bad input. The message names the thing, the rule and the offending values.

    The command line prints the message without a traceback and exits with status 2.
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the closest of `known`, or the empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""


class EnginesLostError(RuntimeError):
    """Samples were needed, and no server that draws them was alive for long."""


class FullDiskError(OSError):
    """A file could not be written for want of space or quota. The message names it."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def writing(path: str | os.PathLike[str], num_bytes: int | None = None) -> Iterator[None]:
    """Inside, running out of disk space is told with the file, what it needs and what is free.

    Args:
      path: what is being written; or a directory, for files whose names others choose.
      num_bytes: how much, where that is known.

    Raises:
      FullDiskError: the disk or the quota is full, or the file is larger than allowed.
    """
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise full_disk_error(path, num_bytes, error) from error


def is_full_disk(error: Exception) -> bool:
    """Whether an error of the system says so; a `FullDiskError` has been told already."""
    return isinstance(error, OSError) and error.errno in _FULL


def full_disk_error(
    path: str | os.PathLike[str], num_bytes: int | None, error: Exception
) -> FullDiskError:
    """The error that tells of a full disk: what could not be written, bytes needed and free."""
    number = error.errno if isinstance(error, OSError) and error.errno else errno.ENOSPC
    needs = f"it needs {num_bytes:,} bytes, " if num_bytes is not None else ""
    return FullDiskError(
        f"cannot write '{os.fspath(path)}': {os.strerror(number)} "
        f"({needs}{_free_bytes(path)} are free there)"
    )


def _free_bytes(path: str | os.PathLike[str]) -> str:
    folder = os.path.abspath(os.fspath(path))
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    with contextlib.suppress(OSError):
        if "://" not in os.fspath(path):
            return f"{shutil.disk_usage(folder).free:,}"
    return "an unknown number"
