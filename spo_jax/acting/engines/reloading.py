"""How a server comes to serve a newly published policy.

No request of ours runs on the server meanwhile. A reload returns when the new weights are served.
"""

import dataclasses
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from spo_jax.acting.engines.connection import Canceller, Endpoint, ServerFailure
from spo_jax.acting.engines.policy import PublishedPolicy
from spo_jax.errors import UserError

_LOOK_SECS = 0.1


class Reload(Protocol):
    """Makes a server serve a policy.

    Attributes:
      names_version: the server then says in every answer which version it serves.
    """

    @property
    def names_version(self) -> bool: ...

    def __call__(
        self, server: Endpoint, policy: PublishedPolicy, timeout_secs: float, canceller: Canceller
    ) -> None:
        """Raises ServerFailure or UserError where the server does not serve it afterwards."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HttpReload:
    """Requests to the server, one after the other.

    Attributes:
      posts: paths, each with a JSON body. '{path}', '{version}' and '{url}' are replaced in its
        strings. An answer {"success": false} is a failure.
      names_version: answers to completions then hold {"metadata": {"weight_version": VERSION}},
        which is checked.
      hint: for a server that refuses them.
    """

    posts: Sequence[tuple[str, Mapping[str, Any]]]
    names_version: bool = False
    hint: str = ""

    def __call__(
        self, server: Endpoint, policy: PublishedPolicy, timeout_secs: float, canceller: Canceller
    ) -> None:
        values = _values(server, policy)
        for path, body in self.posts:
            try:
                answer = server.post(path, _filled(body, values), timeout_secs, canceller)
            except UserError as error:
                raise UserError(f"{error} {self.hint}".rstrip()) from error
            if isinstance(answer, dict) and answer.get("success") is False:
                raise ServerFailure(f"POST {path}: {answer.get('message', answer)!s:.300}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VllmReload(HttpReload):
    """Of `vllm serve`, started with VLLM_SERVER_DEV_MODE=1.

    Its workers read the checkpoint in place; cached prefixes belong to the weights before.
    """

    posts: Sequence[tuple[str, Mapping[str, Any]]] = (
        (
            "/collective_rpc",
            {"method": "reload_weights", "kwargs": {"weights_path": "{path}"}},
        ),
        ("/reset_prefix_cache", {}),
    )
    hint: str = "(is it `vllm serve`, started with VLLM_SERVER_DEV_MODE=1?)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SglangReload(HttpReload):
    """Of an SGLang server. It then names the version in every answer, and that is checked."""

    posts: Sequence[tuple[str, Mapping[str, Any]]] = (
        (
            "/update_weights_from_disk",
            {"model_path": "{path}", "weight_version": "{version}", "flush_cache": True},
        ),
    )
    names_version: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShellReload:
    """A command of the user's, for example one that copies the files and restarts the server.

    Attributes:
      command: its words; '{path}', '{version}' and '{url}' are replaced in them. No shell reads it:
        write `sh -c '...'` for one. It must end with status 0, and only when the server is ready.
      names_version: as of `HttpReload`.
    """

    command: str
    names_version: bool = False

    def __call__(
        self, server: Endpoint, policy: PublishedPolicy, timeout_secs: float, canceller: Canceller
    ) -> None:
        words = [_filled(word, _values(server, policy)) for word in shlex.split(self.command)]
        try:
            process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        except OSError as error:
            raise UserError(f"reload command '{words[0]}' cannot be run: {error}") from error
        with process:
            try:
                output = _output(process, timeout_secs, canceller)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            last = " ".join(output.split())[-300:]
            raise ServerFailure(f"reload command ended with status {process.returncode}: {last}")


def _output(process: subprocess.Popen[str], timeout_secs: float, canceller: Canceller) -> str:
    deadline = time.monotonic() + timeout_secs
    while True:
        try:
            return process.communicate(timeout=_LOOK_SECS)[0]
        except subprocess.TimeoutExpired:
            canceller.wait(0)
            if time.monotonic() > deadline:
                raise ServerFailure(f"reload command took over {timeout_secs:g} s") from None


def _values(server: Endpoint, policy: PublishedPolicy) -> dict[str, str]:
    return {"path": policy.path, "version": str(policy.version), "url": server.url}


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    """The template with '{name}' replaced in all its strings; other braces stay."""
    if isinstance(template, str):
        for name, value in values.items():
            template = template.replace(f"{{{name}}}", value)
        return template
    if isinstance(template, Mapping):
        return {key: _filled(value, values) for key, value in template.items()}
    if isinstance(template, list | tuple):
        return [_filled(value, values) for value in template]
    return template
