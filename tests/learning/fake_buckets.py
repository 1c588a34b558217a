"""A bucket service on loopback: as much of Cloud Storage's JSON API as checkpoints use, in memory.

    fake_buckets.py DIRECTORY_URL

Saves, rotates, restores and damages checkpoints there, and prints what came of it as JSON.
"""

import http.server
import json
import os
import re
import sys
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

Answer = tuple[int, Any, dict[str, str]]

_CALL = re.compile(r"(/upload)?(?:/download)?/storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?/?$")


class FakeBuckets:
    """Objects by (bucket, name): their bytes and generation. Writes may be conditional."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[bytes, int]] = {}
        self._generation = 0
        self._uploads: dict[str, tuple[str, str]] = {}
        self._lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"buckets": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def call(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        url = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        parts = _CALL.match(url.path)
        if parts is None:
            return _error(404, f"no such call: {path}")
        upload, bucket, quoted = parts.groups()
        name = urllib.parse.unquote(quoted) if quoted else None
        with self._lock:
            if upload:
                return self._upload(bucket, query, body, headers)
            if name is not None:
                return self._object(method, bucket, name, query, headers)
            if url.path.rstrip("/").endswith("/o"):
                return 200, self._listing(bucket, query), {}
        return 200, {"kind": "storage#bucket", "name": bucket, "id": bucket, "location": "US"}, {}

    def _object(
        self, method: str, bucket: str, name: str, query: dict[str, str], headers: Mapping[str, str]
    ) -> Answer:
        if (bucket, name) not in self.objects:
            return _error(404, f"No such object: {bucket}/{name}")
        if method == "DELETE":
            del self.objects[bucket, name]
            return 204, b"", {}
        if query.get("alt") != "media":
            return 200, self._metadata(bucket, name), {}
        data, generation = self.objects[bucket, name]
        tags = {"x-goog-generation": str(generation)}
        if query.get("ifGenerationNotMatch") == str(generation):
            return 304, b"", tags
        wanted = re.match(r"bytes=(\d*)-(\d*)", headers.get("Range") or "")
        if wanted is None:
            return 200, data, tags
        start = int(wanted[1]) if wanted[1] else len(data) - int(wanted[2])
        end = int(wanted[2]) + 1 if wanted[1] and wanted[2] else len(data)
        piece = data[start:end]
        span = f"bytes {start}-{start + len(piece) - 1}/{len(data)}"
        return 206, piece, tags | {"Content-Range": span}

    def _upload(
        self, bucket: str, query: dict[str, str], body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        name = query.get("name", "")
        if "upload_id" in query:
            bucket, name = self._uploads[query["upload_id"]]
        elif query["uploadType"] == "resumable":
            key = str(len(self._uploads))
            self._uploads[key] = (bucket, name or json.loads(body)["name"])
            place = (
                f"{self.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={key}"
            )
            return 200, {}, {"Location": place}
        elif query["uploadType"] == "multipart":
            metadata, body = _pieces(body, headers["Content-Type"])
            name = json.loads(metadata)["name"]
        there = self.objects.get((bucket, name), (b"", 0))[1]
        if query.get("ifGenerationMatch", str(there)) != str(there):
            return _error(412, "another generation")
        self._generation += 1
        self.objects[bucket, name] = (body, self._generation)
        tags = {"x-goog-generation": str(self._generation)}
        return 200, self._metadata(bucket, name), tags

    def _listing(self, bucket: str, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        first, last = query.get("startOffset", ""), query.get("endOffset", "\U0010ffff")
        items, prefixes = [], set()
        for there, name in sorted(self.objects):
            if there != bucket or not name.startswith(prefix) or not first <= name < last:
                continue
            head, cut, _ = name[len(prefix) :].partition(delimiter or "\0")
            if cut:
                prefixes.add(prefix + head + delimiter)
            else:
                items.append(self._metadata(bucket, name))
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)}

    def _metadata(self, bucket: str, name: str) -> dict[str, str]:
        data, generation = self.objects[bucket, name]
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": bucket,
            "size": str(len(data)),
            "generation": str(generation),
            "metageneration": "1",
            "timeCreated": "2026-01-01T00:00:00.000Z",
            "updated": "2026-01-01T00:00:00.000Z",
        }


class _Handler(http.server.BaseHTTPRequestHandler):
    buckets: FakeBuckets
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/batch"):
            status, answer, headers = self._batch(body)
        else:
            status, answer, headers = self.buckets.call(
                self.command, self.path, body, {k.title(): v for k, v in self.headers.items()}
            )
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _batch(self, body: bytes) -> Answer:
        """Calls in one request, each a part: how many objects are deleted together."""
        answers = b""
        boundary = _boundary(self.headers["Content-Type"])
        for part in body.split(b"--" + boundary)[1:-1]:
            head, _, request = part.strip().replace(b"\r\n", b"\n").partition(b"\n\n")
            known = re.search(rb"Content-ID: *<?([^>\n]*)", head)
            method, path = request.split(b"\n")[0].decode().split(" ")[:2]
            status = self.buckets.call(method, path, b"", {})[0]
            answers += b"--answers\r\nContent-Type: application/http\r\nContent-ID: <response-"
            answers += (known[1] if known else b"") + b">\r\n\r\n"
            answers += f"HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n\r\n".encode()
        kind = {"Content-Type": "multipart/mixed; boundary=answers"}
        return 200, answers + b"--answers--", kind


def _error(status: int, message: str) -> Answer:
    return status, {"error": {"code": status, "message": message}}, {}


def _boundary(content_type: str) -> bytes:
    found = re.search(r'boundary="?([^";]+)', content_type)
    assert found is not None, content_type
    return found[1].encode()


def _pieces(body: bytes, content_type: str) -> list[bytes]:
    """Contents of the parts of a multipart body."""
    contents = []
    for part in body.split(b"--" + _boundary(content_type))[1:-1]:
        blank = re.search(rb"\r?\n\r?\n", part.lstrip(b"\r\n"))
        assert blank is not None
        content = part.lstrip(b"\r\n")[blank.end() :]
        contents.append(content[:-2] if content.endswith(b"\r\n") else content[:-1])
    return contents


def main(directory: str) -> None:
    buckets = FakeBuckets()
    os.environ |= {
        "STORAGE_EMULATOR_HOST": buckets.url,  # gcsfs
        "TENSORSTORE_GCS_HTTP_URL": buckets.url,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
        "EPATH_USE_TF": "0",  # TensorFlow's own access cannot be sent elsewhere
        "JAX_PLATFORMS": "cpu",
    }
    import jax
    import jax.numpy as jnp

    from spo_jax.learning import Checkpointer, CheckpointSettings

    def state(value: float) -> dict[str, jax.Array]:
        return {"w": jnp.full((64, 8), value, jnp.float32), "key": jax.random.key(1)}

    template = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding),
        state(0.0),
    )
    checkpointer = Checkpointer(directory, CheckpointSettings(keep=2, keep_best=1))
    for step in (1, 2, 3):
        checkpointer.save(step, state(step), {"step": step})
    checkpointer.wait()
    checkpointer.record_best(3, {"eval/pass@1": 0.5})
    told = [checkpointer.steps(), checkpointer.recorded_best()]
    for _ in range(2):
        restored = Checkpointer(directory).restore_latest(template)
        assert restored is not None
        told += [restored.host_state, float(restored.state["w"][0, 0]), restored.passed_over]
        newest = {key: data for key, (data, _) in buckets.objects.items() if "000003/st" in key[1]}
        key = max(newest, key=lambda key: len(newest[key]))
        data = bytearray(newest[key])
        data[len(data) // 2] ^= 1
        buckets.objects[key] = (bytes(data), buckets.objects[key][1])
    print(json.dumps(told), flush=True)
    os._exit(0)  # gcsfs's thread does not end by itself


if __name__ == "__main__":
    main(sys.argv[1])
