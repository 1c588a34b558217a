"""Published policies behind a URL: put, read, pruned, rewound."""

import weakref

import jax
import numpy as np
import pytest
from transformers import AutoTokenizer

from spo_jax.acting.policies import Policies
from spo_jax.acting.policy_mirror import MirroredPolicies, PolicyMirror
from spo_jax.acting.policy_sources import PublishedPolicies
from spo_jax.errors import UserError
from spo_jax.models.testing import character_tokenizer, random_params, tiny_config
from spo_jax.tokenizers import Tokenizer

TOKENIZER = character_tokenizer("ab")
CONFIG = tiny_config(
    vocab_size=TOKENIZER.vocab_size, eos_ids=TOKENIZER.eos_ids, bos_id=None, num_layers=1
)


def params(seed):
    return random_params(CONFIG, jax.random.key(seed))


def assert_same(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("bucket", [True, False])
def test_actors_read_what_was_published_elsewhere(tmp_path, bucket):
    mirror = PolicyMirror("memory://run" if bucket else str(tmp_path / "shared"))
    policies = Policies(
        tmp_path / "policies", CONFIG, TOKENIZER, on_written=mirror.put, on_rewind=mirror.rewind
    )
    source = PublishedPolicies(MirroredPolicies(mirror, CONFIG), lambda: "start", lambda: "1")
    assert source.newest().params == "start"
    for version in range(1, 6):
        policies.publish(params(version), version, background=True)
    policies.flush()
    policies.close()
    assert mirror.versions() == [3, 4, 5]
    assert source.newest().version == 5
    assert_same(source.newest().params, params(5))
    policies.rewind(4)  # the learner goes on from an earlier checkpoint
    assert mirror.versions() == policies.versions() == [3, 4]
    assert policies.latest() == source.newest().version == 4
    policies.publish(params(9), 5)
    assert_same(source.newest().params, params(9))
    policies.rewind(0)
    assert mirror.latest() == policies.latest() == 0
    assert source.newest().params == "start"


def test_a_version_that_went_meanwhile_is_put_back_when_it_is_the_newest_again(tmp_path):
    mirror = PolicyMirror("memory://put-back")
    policies = Policies(
        tmp_path / "policies", CONFIG, TOKENIZER, on_written=mirror.put, on_rewind=mirror.rewind
    )
    policies.pin([2])  # a checkpoint names it
    for version in range(1, 7):
        policies.publish(params(version), version)
    assert 2 in policies.versions() and 2 not in mirror.versions()
    policies.rewind(2)
    assert mirror.versions() == policies.versions() == [2]
    source = PublishedPolicies(MirroredPolicies(mirror, CONFIG), lambda: "start", lambda: "1")
    assert_same(source.newest().params, params(2))


def test_a_failed_write_in_the_background_is_raised_at_the_next_publication(tmp_path):
    def failing(folder, version):
        raise OSError(28, "no space left")

    policies = Policies(tmp_path, CONFIG, TOKENIZER, on_written=failing)
    policies.publish(params(0), 1, background=True)
    with pytest.raises(OSError, match="No space left on device"):
        policies.publish(params(0), 2)
    assert policies.latest() == 0  # what is not there whole is not pointed to


def test_fewer_than_three_versions_are_refused():
    with pytest.raises(UserError, match="at least 3 published policies must be kept, got keep=2"):
        PolicyMirror("memory://run", keep=2)


@pytest.mark.parametrize("bucket", [True, False])
def test_a_tokenizer_with_several_chat_templates_is_published(tmp_path, bucket):
    """`transformers` keeps all but the first in a folder of their own."""
    folder = tmp_path / "tokenizer"
    TOKENIZER.save(folder)
    backend = AutoTokenizer.from_pretrained(folder)
    backend.chat_template = {"default": "{{ messages }}", "tool_use": "tools"}
    tokenizer = Tokenizer(backend)
    mirror = PolicyMirror("memory://templates" if bucket else str(tmp_path / "shared"))
    policies = Policies(tmp_path / "policies", CONFIG, tokenizer, on_written=mirror.put)
    policies.publish(params(1), 1)
    names = {path.name for path in (tmp_path / "policies" / "1").rglob("*.jinja")}
    assert "tool_use.jinja" in names
    mirror.fetch(1, tmp_path / "fetched")
    assert {path.name for path in (tmp_path / "fetched").rglob("*.jinja")} == names
    assert_same(MirroredPolicies(mirror, CONFIG).load(1), params(1))


def test_the_start_is_let_go_when_something_newer_is_read(tmp_path):
    """Also where nothing was ever sampled with it."""

    class Start:
        pass

    start = Start()
    gone = weakref.ref(start)
    mirror = PolicyMirror("memory://start")
    policies = Policies(tmp_path / "policies", CONFIG, TOKENIZER, on_written=mirror.put)
    read = MirroredPolicies(mirror, CONFIG)
    source = PublishedPolicies(read, lambda: "again", lambda: "1", first=start)
    del start
    policies.publish(params(1), 1)
    assert source.newest().version == 1
    assert gone() is None
    policies.rewind(0)
    mirror.rewind(tmp_path, 0)
    assert source.newest().params == "again"
