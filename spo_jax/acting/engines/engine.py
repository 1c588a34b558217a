"""OpenAI-compatible servers as a sampler: the same protocol as `spo_jax.sampling.Sampler`."""

import concurrent.futures
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from spo_jax.acting.engines.connection import Canceller, Endpoint, ServerFailure
from spo_jax.acting.engines.policy import PublishedPolicy
from spo_jax.acting.engines.protocol import Protocol, ServerLogprobs
from spo_jax.acting.engines.reloading import Reload
from spo_jax.acting.engines.servers import Server, ServerPool
from spo_jax.errors import UserError
from spo_jax.sampling import SampleRequest, SamplingProgress
from spo_jax.sampling.requests import check_requests
from spo_jax.types import Completion, SamplerSettings

_LOOK_SECS = 0.2
_FIRST_PAUSE_SECS, _LAST_PAUSE_SECS = 0.2, 10.0
_PROBE_SECS = 120.0  # the first request may have to compile something

Finished = tuple[int, int, Completion]  # request index, sample index


class OpenAIEngine:
    """Draws completions from servers outside this process.

    A sample is one request with its own seed; it goes to the living server with the fewest of them.
    One that fails, or takes too long, is cut off and asked of another server with the same seed.
    What a policy's version is, is decided before the request is sent: a server is reloaded between
    requests only, so a completion comes from the policy that was asked for.

    A server must not be shared with another run or actor, whose reloads would change its weights.

    Args:
      base_urls: of the servers, for example 'http://10.0.0.2:8000'.
      model: name that the servers know the policy by; '' takes the only one they list.
      end_ids: tokens that end a completion. vocab_size: of the policy.
      max_prompt_tokens, max_completion_tokens: limits on requests.
      reload: makes a server serve a newly published policy; None: they never change theirs.
      api_key: sent to the servers, or None.
      max_concurrent: requests on one server.
      timeout_secs: of one request. num_tries: of one sample.
      reload_timeout_secs: of one reload.
      patience_secs: how long all servers may be dead. retry_secs: between looks at a dead one.
      logprobs: what the servers' log-probabilities are of, see `Protocol`.
      encode: tokenizes the text of servers that give no ids; None refuses those.

    Raises:
      UserError: no server is alive, or they are not what is needed.
    """

    def __init__(
        self,
        base_urls: Sequence[str],
        *,
        model: str = "",
        end_ids: Sequence[int],
        vocab_size: int,
        max_prompt_tokens: int,
        max_completion_tokens: int,
        reload: Reload | None,
        api_key: str | None = None,
        max_concurrent: int = 64,
        timeout_secs: float = 600.0,
        num_tries: int = 5,
        reload_timeout_secs: float = 600.0,
        patience_secs: float = 300.0,
        retry_secs: float = 10.0,
        logprobs: ServerLogprobs = "raw",
        encode: Callable[[str], Sequence[int]] | None = None,
    ):
        self._pool = ServerPool(
            [Endpoint(url, api_key) for url in base_urls],
            reload=reload,
            max_concurrent=max_concurrent,
            reload_timeout_secs=reload_timeout_secs,
            patience_secs=patience_secs,
            retry_secs=retry_secs,
        )
        self._timeout_secs = timeout_secs
        self._num_tries = num_tries
        self._vocab_size = vocab_size
        self._max_prompt_tokens = max_prompt_tokens
        self._max_completion_tokens = max_completion_tokens
        self._protocol = Protocol(
            self._check_servers(model), tuple(end_ids), vocab_size, logprobs, encode
        )
        self._check_answers()

    def sample(
        self,
        params: PublishedPolicy,
        requests: Iterable[SampleRequest],
        *,
        progress: Callable[[SamplingProgress], None] | None = None,
    ) -> Iterator[Finished]:
        """Yields (request index, sample index, completion) as samples finish, in no fixed order.

        Leaving the iterator early cuts off what is running.

        Args:
          params: the policy to sample from; servers that serve another are reloaded first.
          requests: all of them are checked before the first is sent.
          progress: called a few times a second, and at every finished sample.

        Raises:
          UserError: a request does not fit, a server refuses it, or no server is left.
        """
        requests = list(requests)
        check_requests(
            requests,
            vocab_size=self._vocab_size,
            max_prompt_tokens=self._max_prompt_tokens,
            max_completion_tokens=self._max_completion_tokens,
        )
        return self._run(params, requests, progress)

    def close(self) -> None:
        """Ends what is still done in the background."""
        self._pool.close()

    def _run(
        self,
        policy: PublishedPolicy,
        requests: list[SampleRequest],
        progress: Callable[[SamplingProgress], None] | None,
    ) -> Iterator[Finished]:
        # In order, so that the samples of a prompt meet its prefix in the server's cache.
        samples = [(i, j) for i, request in enumerate(requests) for j in range(len(request.seeds))]
        if not samples:
            return
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        canceller = Canceller()
        threads = concurrent.futures.ThreadPoolExecutor(
            min(self._pool.capacity, len(samples)), "engine"
        )
        num_tokens = 0

        def draw(i: int, j: int) -> None:
            try:
                request = requests[i]
                finished.put((i, j, self._draw(policy, request, request.seeds[j], canceller)))
            except BaseException as error:
                finished.put(error)

        try:
            for i, j in samples:
                threads.submit(draw, i, j)
            num_finished = 0
            while num_finished < len(samples):
                try:
                    item = finished.get(timeout=_LOOK_SECS)
                except queue.Empty:
                    item = None
                if isinstance(item, BaseException):
                    raise item
                if item is not None:
                    num_finished += 1
                    num_tokens += len(item[2].tokens)
                if progress is not None:
                    progress(SamplingProgress(num_finished, len(samples), num_tokens))
                if item is not None:
                    yield item
        finally:
            canceller.cancel()
            threads.shutdown(cancel_futures=True)

    def _draw(
        self, policy: PublishedPolicy, request: SampleRequest, seed: int, canceller: Canceller
    ) -> Completion:
        """One sample, by as many servers and tries as it takes."""
        body = self._protocol.body(request, seed)
        pause = _FIRST_PAUSE_SECS
        for attempt in range(1, self._num_tries + 1):
            try:
                with self._pool.lease(policy, canceller) as server:
                    answer = server.endpoint.post(
                        "/v1/completions", body, self._timeout_secs, canceller
                    )
                    self._check_version(answer, server, policy)
                    return self._protocol.completion(answer, request, seed)
            except ServerFailure as failure:
                if attempt == self._num_tries:
                    name = f"request '{request.request_id}'" if request.request_id else "a request"
                    raise UserError(
                        f"{name} failed on the engine {attempt} times, the last time at "
                        f"{server.endpoint.url}: {failure}"
                    ) from failure
            canceller.wait(pause)
            pause = min(2 * pause, _LAST_PAUSE_SECS)
        raise AssertionError("unreachable")

    def _check_version(self, answer: Any, server: Server, policy: PublishedPolicy) -> None:
        """Where a server says what it serves (SGLang does), it must be what was asked for."""
        metadata = answer.get("metadata") if isinstance(answer, dict) else None
        reported = metadata.get("weight_version") if isinstance(metadata, dict) else None
        if not self._pool.names_version or reported in (None, str(policy.version)):
            return
        self._pool.forget_policy(server)
        raise ServerFailure(
            f"it serves policy {reported!r} where it was given {policy.version}: somebody else "
            "reloads this server"
        )

    def _check_servers(self, model: str) -> str:
        """Asks every living server for its model and its context; returns the model's name."""
        for server in self._pool.wait_for_any(Canceller()):
            card = self._model_card(server.endpoint, model)
            model = str(card["id"])
            room, needed = card.get("max_model_len"), self._max_prompt_tokens
            needed += self._max_completion_tokens
            if isinstance(room, int) and room < needed:
                raise UserError(
                    f"engine {server.endpoint.url} has a context of {room} tokens, "
                    f"max_prompt_tokens + max_completion_tokens of the run are {needed}"
                )
        return model

    def _model_card(self, endpoint: Endpoint, model: str) -> dict[str, Any]:
        try:
            answer = endpoint.get("/v1/models", _PROBE_SECS, Canceller())
        except ServerFailure as failure:
            raise UserError(f"engine {endpoint.url} does not list its models: {failure}") from None
        listed = answer.get("data") if isinstance(answer, dict) else None
        cards = [card for card in listed or () if isinstance(card, dict) and "id" in card]
        names = [card["id"] for card in cards]
        if not model and len(cards) != 1:
            raise UserError(
                f"engine {endpoint.url} serves {names}: say which one by EngineSettings.model"
            )
        for card in cards:
            if model in ("", card["id"]):
                return card
        raise UserError(f"engine {endpoint.url} does not serve '{model}', only {names}")

    def _check_answers(self) -> None:
        """One token from every living server: do its answers hold what a run needs?"""
        request = SampleRequest(
            prompt_tokens=[0], seeds=[0], settings=SamplerSettings(max_completion_tokens=1)
        )
        for server in self._pool.servers:
            if server.retry_at is not None:
                continue
            try:
                body = self._protocol.body(request, 0)
                answer = server.endpoint.post("/v1/completions", body, _PROBE_SECS, Canceller())
                self._protocol.completion(answer, request, 0)
            except ServerFailure as failure:
                raise UserError(f"engine {server.endpoint.url} does not work: {failure}") from None
