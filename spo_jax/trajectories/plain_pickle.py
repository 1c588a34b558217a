"""Reads what `torch.save` wrote of plain data, without torch and without running anything.

A pickle names the functions it wants called. This reader knows none: numbers, strings, lists and
dicts need none, and whatever names one is refused.
"""

import pickle
import zipfile
from pathlib import Path
from typing import Any

from spo_jax.errors import UserError

_MAX_BYTES = 4 * 2**30


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not plain data")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it holds a tensor, which is not plain data")


def read_torch_file(file: Path) -> Any:
    """The plain data in a file of `torch.save`.

    Raises:
      UserError: not such a file, damaged, too large, or anything in it is not plain data.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(names) != 1:
                raise UserError(f"{file}: not a file of torch.save: no data.pkl in it")
            if archive.getinfo(names[0]).file_size > _MAX_BYTES:
                raise UserError(f"{file}: more than {_MAX_BYTES} bytes of data")
            with archive.open(names[0]) as source:
                return _PlainUnpickler(source).load()
    except zipfile.BadZipFile as error:
        raise UserError(f"{file}: not a file of torch.save, or a damaged one: {error}") from error
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, TypeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{file}: refused: {error}; write the samples as JSON Lines with prompt, completion "
            "and reward instead"
        ) from error
