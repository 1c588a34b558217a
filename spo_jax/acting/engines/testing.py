"""A small completions server over our own sampler, for tests and to try an engine without one.

It answers as vLLM and SGLang do, token ids in and out, and loads a published checkpoint when it is
told to. What can go wrong with a server can be made to go wrong.

  python -m spo_jax.acting.engines.testing MODEL_DIRECTORY --port 8000
"""

import argparse
import collections
import dataclasses
import http.server
import json
import threading
from typing import Any

from spo_jax.models import Transformer, load_pretrained
from spo_jax.sampling import Sampler, SampleRequest
from spo_jax.types import Completion, SamplerSettings

MODEL = "policy"


@dataclasses.dataclass(slots=True)
class Faults:
    """What the next completions suffer, one word each, in order.

    Attributes:
      next: 'status_500', 'status_429', 'hang', 'disconnect' (in the body), 'malformed', 'abort',
        'text' (no ids), 'no_end' (the end token is left out and named); '' is none.
      is_down: every request, health included, is answered by hanging up.
      hang_secs: how long 'hang' lasts, unless the client goes away.
    """

    next: collections.deque[str] = dataclasses.field(default_factory=collections.deque)
    is_down: bool = False
    hang_secs: float = 30.0


class EngineServer:
    """Serves a checkpoint on a port of this machine, from its own threads. A context manager.

    Args:
      path: a directory in Hugging Face format, with its tokenizer.
      max_prompt_tokens, max_completion_tokens: of the sampler.
      port: 0 takes a free one.
      names_version: answers name the version served, as SGLang's do.

    Attributes:
      url: of the server. faults: what is to go wrong.
      requests: bodies of the completions asked for. reloads: paths loaded since the start.
      most_at_once: completions that were asked for at the same time. is_closing: it ends.
    """

    def __init__(
        self,
        path: str,
        *,
        max_prompt_tokens: int = 64,
        max_completion_tokens: int = 64,
        port: int = 0,
        names_version: bool = True,
    ):
        self.faults = Faults()
        self.requests: list[dict[str, Any]] = []
        self.reloads: list[str] = []
        self.most_at_once = 0
        self.is_closing = threading.Event()
        self._num_running = 0
        self._lock = threading.Lock()  # of the sampler and its weights
        self._counts = threading.Lock()
        self._names_version = names_version
        self._version = "default"
        pretrained = load_pretrained(path)
        self._params = pretrained.params
        self._model = Transformer(pretrained.config)
        self._limits = (max_prompt_tokens, max_completion_tokens)
        self._samplers: dict[tuple[int, ...], Sampler] = {}  # by end tokens
        self._http = _HttpServer(("127.0.0.1", port), self)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "EngineServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()  # waits for its threads: none may compute while Python ends

    def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": MODEL, "max_model_len": sum(self._limits)}]}

    def reload(self, path: str, version: str) -> None:
        """Serves another checkpoint. Must not meet running completions."""
        with self._counts:
            assert not self._num_running, "a reload while completions run"
        params = load_pretrained(path).params
        with self._lock:
            self._params, self._version = params, version
            self.reloads.append(path)

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answers POST /v1/completions."""
        with self._counts:
            self.requests.append(body)
            self._num_running += 1
            self.most_at_once = max(self.most_at_once, self._num_running)
        try:
            with self._lock:
                drawn, version = self._draw(body), self._version
        finally:
            with self._counts:
                self._num_running -= 1
        answer: dict[str, Any] = {"model": MODEL, "choices": [_choice(drawn, body)]}
        if self._names_version:
            answer["metadata"] = {"weight_version": version}
        return answer

    def _draw(self, body: dict[str, Any]) -> Completion:
        settings = SamplerSettings(
            temperature=body["temperature"],
            top_p=body["top_p"],
            top_k=max(0, body["top_k"]),
            max_completion_tokens=body["max_tokens"],
        )
        request = SampleRequest(
            prompt_tokens=body["prompt"], seeds=[body["seed"]], settings=settings
        )
        sampler = self._sampler(tuple(body["stop_token_ids"]))
        return sampler.sample_all(self._params, [request])[0][0]

    def _sampler(self, end_ids: tuple[int, ...]) -> Sampler:
        if end_ids not in self._samplers:
            self._samplers[end_ids] = Sampler(
                self._model,
                eos_ids=end_ids,
                num_slots=1,
                max_prompt_tokens=self._limits[0],
                max_completion_tokens=self._limits[1],
                prefill_batch=1,
                steps_per_call=self._limits[1],
            )
        return self._samplers[end_ids]


def _choice(drawn: Completion, body: dict[str, Any]) -> dict[str, Any]:
    tokens = drawn.tokens.tolist()
    choice: dict[str, Any] = {
        "index": 0,
        "text": "",
        "finish_reason": drawn.finish_reason,
        "stop_reason": None,
        "token_ids": tokens if body.get("return_token_ids") else None,
    }
    if "logprobs" in body and drawn.behavior_logprobs is not None:
        choice["logprobs"] = {
            "tokens": [f"token_id:{token}" for token in tokens],
            "token_logprobs": drawn.behavior_logprobs.tolist(),
        }
    return choice


class _HttpServer(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], engine: EngineServer):
        super().__init__(address, _Handler)
        self.engine = engine

    def handle_error(self, *_: Any) -> None:
        """Clients hang up on purpose here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.server.engine.faults.is_down:
            self.close_connection = True
        elif self.path == "/health":
            self._answer(200, {})
        elif self.path == "/v1/models":
            self._answer(200, self.server.engine.models())
        else:
            self._answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        engine = self.server.engine
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        if engine.faults.is_down:
            self.close_connection = True
        elif self.path == "/v1/completions":
            self._complete(body)
        elif self.path == "/update_weights_from_disk":  # SGLang's
            self._reload(body["model_path"], body["weight_version"])
        elif self.path == "/collective_rpc":  # vLLM's
            self._reload(body["kwargs"]["weights_path"], "default")
        elif self.path == "/reset_prefix_cache":
            self._answer(200, {})
        else:
            self._answer(404, {"detail": "Not Found"})

    def _reload(self, path: str, version: str) -> None:
        try:
            self.server.engine.reload(path, version)
        except Exception as error:
            self._answer(500, {"success": False, "message": str(error)})
        else:
            self._answer(200, {"success": True})

    def _complete(self, body: dict[str, Any]) -> None:
        engine = self.server.engine
        try:
            fault = engine.faults.next.popleft()
        except IndexError:
            fault = ""
        if fault.startswith("status_"):
            self._answer(int(fault.removeprefix("status_")), {"error": {"message": fault}})
            return
        if fault == "hang" and engine.is_closing.wait(engine.faults.hang_secs):
            self.close_connection = True
            return
        answer = engine.completion(body)
        choice = answer["choices"][0]
        if fault == "abort":
            choice["finish_reason"] = "abort"
        if fault == "text":
            choice |= {"token_ids": None, "logprobs": None, "text": "ab"}
        if fault == "no_end":
            choice |= {
                "stop_reason": choice["token_ids"][-1],
                "token_ids": choice["token_ids"][:-1],
            }
            choice["logprobs"]["token_logprobs"].pop()
        data = json.dumps(answer).encode()
        if fault == "malformed":
            data = data[: len(data) // 2]
        self._send(200, data, sent=len(data) // 2 if fault == "disconnect" else len(data))

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self._send(status, data, sent=len(data))

    def _send(self, status: int, data: bytes, *, sent: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:sent])
        self.close_connection = self.close_connection or sent < len(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", help="a directory in Hugging Face format")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max_prompt_tokens", type=int, default=256)
    parser.add_argument("--max_completion_tokens", type=int, default=256)
    args = parser.parse_args()
    server = EngineServer(
        args.path,
        max_prompt_tokens=args.max_prompt_tokens,
        max_completion_tokens=args.max_completion_tokens,
        port=args.port,
    )
    with server:
        print(f"serving '{args.path}' as '{MODEL}' at {server.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
