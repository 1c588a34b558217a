"""Two updates of a tiny model by all processes together: two_learners.py DIRECTORY."""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import numpy as np

from spo_jax.acting.annotator import Reference, ReferenceScorer
from spo_jax.acting.policies import Policies
from spo_jax.learning import AdamW, Learner, make_batch, row_buckets
from spo_jax.models import params_id
from spo_jax.models.testing import byte_tokenizer, random_params, tiny_config
from spo_jax.models.transformer import Transformer, logical_axes
from spo_jax.objectives import Supervised
from spo_jax.placement import from_host, make_local_mesh
from spo_jax.running.hosts import Hosts, joined
from spo_jax.sharding import make_mesh, param_shardings
from spo_jax.trajectories import DrawnGroup, DrawnRow
from spo_jax.types import Trajectory

NUM_UPDATES = 2


def drawn(number, size, num_tokens):
    """A group of random completions; the same on every process."""
    rng = np.random.default_rng(number)
    prompt = rng.integers(3, 48, size=5).astype(np.int32)
    rows = []
    for i in range(size):
        completion = rng.integers(3, 48, size=num_tokens).astype(np.int32)
        trajectory = Trajectory(
            trajectory_id=f"t{number}-{i}",
            group_id=f"g{number}",
            problem_id=f"p{number}",
            source="online",
            prompt_tokens=prompt,
            completion_tokens=completion,
            completion_mask=np.ones(num_tokens, bool),
            reward=-float(i % 2),
        )
        rows.append(DrawnRow(trajectory, None, True, 0))
    return DrawnGroup(f"p{number}", None, tuple(rows))


def work(hosts: Hosts, directory: Path) -> dict:
    """What a run does with devices: reference, updates, publication."""
    tokenizer = byte_tokenizer()
    config = tiny_config(vocab_size=tokenizer.vocab_size, eos_ids=tokenizer.eos_ids, num_layers=1)
    model, mesh = Transformer(config), make_mesh(fsdp=2)
    whole = random_params(config, jax.random.key(0))
    shardings = param_shardings(mesh, logical_axes(config), whole)
    params = jax.tree.map(from_host, whole, shardings)
    learner = Learner(model, Supervised(), AdamW(learning_rate=1e-2), mesh)
    buckets = row_buckets(
        (32,),
        tokens_per_micro_batch=256,
        completions_per_row=4,
        max_completion_tokens=6,
        row_multiple=8,
    )
    reference = Reference(params, params_id(params, config))
    scorer = ReferenceScorer(model, buckets, pad_id=0, mesh=mesh)
    groups = [drawn(number, 4, 4 + number % 3) for number in range(8)]
    scored = iter(scorer.score(groups, reference))
    by_id = {item.trajectory_id: item.ref_logprobs for item in scored}
    groups = [
        dataclasses.replace(
            group,
            reference_id=reference.reference_id,
            rows=tuple(
                dataclasses.replace(row, ref_logprobs=by_id[row.trajectory.trajectory_id])
                for row in group.rows
            ),
        )
        for group in groups
    ]
    policies = Policies(
        directory / "policies",
        config,
        tokenizer,
        mesh=make_local_mesh(mesh.devices.flat),
        writes=hosts.is_main,
    )
    state, losses = learner.init(params, seed=3), []
    for _ in range(NUM_UPDATES):
        batch = make_batch(
            groups,
            buckets,
            pad_id=0,
            needs=learner.objective.needs,
            reference_id=reference.reference_id,
        )
        state, metrics, _ = learner.update(state, batch)
        losses.append([metrics["loss/total"], metrics["optimizer/grad_norm"]])
    published = policies.publish(state.params, NUM_UPDATES)
    assert all(leaf.is_fully_addressable for leaf in jax.tree.leaves(published))
    hosts.barrier("published")
    read = policies.load(NUM_UPDATES)
    same = jax.tree.map(lambda a, b: np.array_equal(np.asarray(a), np.asarray(b)), published, read)
    return {
        "losses": losses,
        "reference_id": reference.reference_id,
        "ref_logprobs": {name: values.tolist() for name, values in by_id.items()},
        "published_is_read": all(jax.tree.leaves(same)),
        "devices": [jax.device_count(), jax.local_device_count()],
    }


if __name__ == "__main__":
    with joined(True, dead_after_secs=20) as processes:
        outcome = work(processes, Path(sys.argv[1]))
        processes.check_same("outcome", {k: v for k, v in outcome.items() if k != "devices"})
        if processes.is_main:
            (Path(sys.argv[1]) / "outcome.json").write_text(json.dumps(outcome))
