"""What the processes of a run tell each other about a checkpoint, outside of any computation.

Values go through the key-value store of `jax.distributed`'s coordinator and not through devices:
a background thread may not start a computation that all processes must start in one order.
"""

import collections
import itertools
import json
from typing import Any

import jax
from orbax.checkpoint import multihost

_TIMEOUT_SECS = 1200
_num_named: collections.Counter[str] = collections.Counter()  # names are used once


class Agreement:
    """Gathers small values from all processes. Every process makes the same calls in one order.

    Args:
      name: of what talks; every process makes as many of one name, in one order.
    """

    def __init__(self, name: str):
        self._name = f"{name} {_num_named[name]}"
        _num_named[name] += 1
        self._rounds = itertools.count()

    def gather(self, value: Any) -> list[Any]:
        """Returns the JSON value of every process, by process. A barrier, too."""
        if jax.process_count() == 1:
            return [value]
        number, me = next(self._rounds), jax.process_index()
        client = multihost.get_jax_distributed_client()
        client.key_value_set(self._key(number, me), json.dumps(value))
        values = [
            json.loads(client.blocking_key_value_get(self._key(number, i), _TIMEOUT_SECS * 1000))
            for i in range(jax.process_count())
        ]
        if number:  # whoever has come to this round has read the one before
            client.key_value_delete(self._key(number - 1, me))
        return values

    def first(self, value: Any) -> Any:
        """Returns what process 0 says; of the others, the value does not matter."""
        return self.gather(value)[0]

    def _key(self, number: int, process: int) -> str:
        return f"spo_jax/{self._name}/{number}/{process}"
