"""Plans: bookkeeping of memory, knobs, topologies; and real programs for a TPU slice."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from spo_jax.errors import UserError
from spo_jax.learning import AdamW, Learner, RowBucket
from spo_jax.models import Transformer
from spo_jax.models.testing import tiny_config
from spo_jax.objectives import PPO, SoftPolicyOptimization
from spo_jax.planning import knobs, topology
from spo_jax.planning.collectives import Traffic
from spo_jax.planning.costs import Costs, program_costs
from spo_jax.planning.knobs import knobs_for
from spo_jax.planning.programs import Compiled, Plan, Resident, _out_of_memory
from spo_jax.planning.report import format_plan, format_trials
from spo_jax.planning.topology import GIB, parse_topology
from spo_jax.planning.verdict import Efficiency, Planned, as_dict
from spo_jax.sharding import make_mesh


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v5p", "must be a chip and a shape, such as v5p:4x4x4"),
        ("v5q:4x4", "chip 'v5q' is not one of v5e, v5p, v6e"),
        ("v5p:4x4", "has 2 sides, a slice of v5p has 3, such as v5p:4x4x4"),
        ("v5e:4x4x4", "has 3 sides, a slice of v5e has 2, such as v5e:4x4"),
    ],
)
def test_topologies_that_are_none(name, message):
    with pytest.raises(UserError, match=message):
        parse_topology(name)


def test_a_topology_is_a_chip_and_a_number_of_them():
    chip, count = parse_topology("v5p:4x4x8")
    assert (chip.name, count) == ("v5p", 128)


def make_plan(**changes):
    fields = {
        "config": tiny_config(compute_dtype="bfloat16"),
        "objective": SoftPolicyOptimization(baseline="group"),
        "mesh": {"fsdp": 4},
        "row_length": 64,
        "tokens_per_micro_batch": 512,
        "problems_per_update": 4,
        "completions_per_problem": 8,
        "max_prompt_tokens": 16,
        "max_completion_tokens": 24,
        "num_slots": 16,
        "sampler_prompt_tokens": 16,
        "sampler_completion_tokens": 24,
    }
    return Plan(**fields | changes)


SIZES = Resident(
    params=GIB,
    optimizer=2 * GIB,
    critic_params=0,
    critic_optimizer=0,
    gradients=GIB,
    reference=GIB,
    sampler_params=GIB // 2,
    cache=4 * GIB,
)


def make_planned(programs, **changes):
    fields = {
        "plan": make_plan(),
        "slice_name": "v5e:2x2",
        "chip": topology.CHIPS["v5e"],
        "hosts": 1,
        "mesh": {"data": 1, "fsdp": 4, "sequence": 1, "tensor": 1},
        "host_mesh": {"data": 4, "fsdp": 1, "sequence": 1, "tensor": 1},
        "bucket_rows": 8,
        "num_micro_batches": 2,
        "resident": SIZES,
        "programs": {program.name: program for program in programs},
        "shares_chips": True,
    }
    return Planned(**fields | changes)


def test_a_peak_counts_what_lies_beside_a_program():
    """Arguments of 'accumulate' are parameters and gradients; the rest of the state waits."""
    accumulate = Compiled("accumulate", argument_bytes=2 * GIB, temp_bytes=3 * GIB)
    decode = Compiled("decode", argument_bytes=5 * GIB, temp_bytes=GIB)
    planned = make_planned([accumulate, decode])
    assert planned.peak_bytes("accumulate") == (2 + 3 + 2 + 1 + 0.5) * GIB
    assert planned.peak_bytes("decode") == (5 + 1 + 0.5 + 3 + 1) * GIB
    alone = dataclasses.replace(planned, shares_chips=False)
    assert alone.peak_bytes("accumulate") == (2 + 3 + 2 + 1) * GIB
    assert alone.peak_bytes("decode") == (5 + 1 + 0.5) * GIB


def test_the_verdict_is_the_chip_memory():
    fits = Compiled("accumulate", temp_bytes=int(12.2 * GIB))
    bursts = Compiled("accumulate", temp_bytes=int(12.3 * GIB))  # 3.5 GiB lie beside
    assert make_planned([fits]).too_big == []
    assert make_planned([bursts]).too_big == ["accumulate"]
    assert "does not fit: accumulate" in format_plan(make_planned([bursts]), Efficiency())


def test_an_estimate_is_the_slowest_limit():
    chip = topology.CHIPS["v5e"]
    moved = {"all-gather": Traffic(0, 0.25 * chip.ici_bytes_per_sec, 1)}
    costs = Costs(chip.flops_per_sec, 0.4 * chip.hbm_bytes_per_sec, moved)
    programs = [Compiled("accumulate", costs=costs), Compiled("apply")]
    terms = make_planned(programs).update_terms(Efficiency(compute=0.5, hbm=0.8, ici=0.5))
    assert terms is not None  # of two micro-batches
    seconds = (terms.compute_secs, terms.hbm_secs, terms.ici_secs)
    assert seconds == pytest.approx((4.0, 1.0, 1.0))
    assert (terms.overlapped_secs, terms.serial_secs) == pytest.approx((4.0, 6.0))


def test_an_update_has_enough_micro_batches_for_the_longest_sequences():
    """Rows of 64 hold a prompt of 16 and two completions of 24: 4 rows a problem."""
    plan = make_plan()

    class Mesh:
        shape = {"data": 1, "fsdp": 4, "sequence": 1, "tensor": 1}  # noqa: RUF012

    assert plan.bucket(Mesh()).num_rows == 8
    assert plan.num_micro_batches(Mesh()) == 2


def test_knobs_concern_what_does_not_fit():
    learner = make_planned([Compiled("accumulate", temp_bytes=20 * GIB)])
    names = [knob.bindings for knob in knobs_for(learner)]
    assert names[:2] == [
        "ModelSource.remat_policy='full'",
        "BatchSettings.tokens_per_micro_batch=64",
    ]
    assert "MeshShape.data=1 MeshShape.fsdp=2 MeshShape.tensor=2" in names
    sampler = make_planned([Compiled("decode", temp_bytes=20 * GIB)])
    assert [knob.bindings for knob in knobs_for(sampler)] == [
        "RolloutSettings.tensor=4",
        "RolloutSettings.num_slots=4",
    ]


def test_knobs_are_tried_alone_and_then_together(monkeypatch):
    """A stand-in compiler: 4.5 GiB lie beside, each knob takes 3 GiB off 16."""
    first = make_planned([Compiled("decode", temp_bytes=16 * GIB)])

    def compile_plan(plan, where, **arguments):
        saved = 3 * ((plan.sampler_tensor == 4) + (plan.num_slots == 4))
        return make_planned([Compiled("decode", temp_bytes=(16 - saved) * GIB)])

    monkeypatch.setattr(knobs, "compile_plan", compile_plan)
    trials = list(knobs.try_knobs(first, None))
    assert [(len(trial.bindings), trial.fits) for trial in trials] == [
        (1, False),
        (1, False),
        (2, True),
    ]
    text = format_trials(trials, first)
    assert "would fit: RolloutSettings.tensor=4 RolloutSettings.num_slots=4" in text


def test_the_compiler_refusal_gives_the_sizes():
    message = (
        "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space "
        "hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G.\n\nTotal hbm usage >= "
        "20.75G:\n    reserved        258.00M\n    program          12.50G\n    arguments  8.00G"
    )
    found = _out_of_memory(message)
    assert found["argument_bytes"] == 8 * GIB
    assert found["temp_bytes"] == 12.5 * GIB
    assert found["failure"] == "needs 20.50G of 15.75G"
    early = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (20.50G) exceeds available HBM (15.75G)."
    )
    assert _out_of_memory(early) == {
        "argument_bytes": 0,
        "temp_bytes": 20.5 * GIB,
        "failure": "needs 20.50G of 15.75G",
    }
    with pytest.raises(RuntimeError, match="INTERNAL"):
        _out_of_memory("INTERNAL: something else")


def test_all_numbers_are_json():
    planned = make_planned([Compiled("accumulate"), Compiled("apply")])
    found = json.loads(json.dumps(as_dict(planned, Efficiency())))
    assert found["fits"] and found["programs"]["apply"]["peak_bytes"] == 1.5 * GIB


needs_compiler = pytest.mark.skipif(
    not topology.compiler_is_installed(), reason="libtpu is not installed (extra 'plan')"
)


def write_model(path, head_dim=128):
    """config.json alone: no weights, no tokenizer."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 512,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": head_dim,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config))


def plan_command(tmp_path, *arguments, head_dim=128):
    write_model(tmp_path / "model", head_dim)
    base = [
        "--gin_file=configs/plans/base.gin",
        f"--gin.ModelSource.path={tmp_path / 'model'}",
        "--gin.BatchSettings.row_lengths=(256,)",
        "--gin.BatchSettings.tokens_per_micro_batch=1024",
        "--gin.RolloutSettings.max_prompt_tokens=128",
        "--gin.RolloutSettings.max_completion_tokens=128",
        "--gin.MeshShape.fsdp=4",
    ]
    command = [sys.executable, "-m", "spo_jax.main", "plan", *base, *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=environment, check=False
    )


@needs_compiler
def test_a_tiny_run_is_planned_for_a_slice_that_is_not_here(tmp_path):
    done = plan_command(tmp_path, "--topology=v5e:2x2", "--programs=apply,decode", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["fits"] and set(found["programs"]) == {"apply", "decode"}
    # Embedding, two layers and norms, float32, over 4 chips; two moments beside.
    embedding, attention, mlp = 512 * 256, 4 * 256 * 1024, 3 * 256 * 512
    split = (embedding + 2 * (attention + mlp)) * 4 / 4
    assert found["resident_bytes"]["params"] == pytest.approx(split, rel=0.01)
    assert found["resident_bytes"]["optimizer"] == pytest.approx(2 * split, rel=0.01)
    assert "compiled decode in" in done.stderr


@needs_compiler
@pytest.mark.parametrize("head_dim", [64, 128])
def test_decoding_keeps_no_second_cache(tmp_path, head_dim):
    """Nor one whose narrow heads are padded to a TPU's 128 lanes."""
    done = plan_command(
        tmp_path,
        "--topology=v5e:2x2",
        "--programs=decode",
        "--json",
        "--gin.RolloutSettings.max_completion_tokens=3968",
        "--gin.RolloutSettings.num_slots=128",
        "--gin.BatchSettings.row_lengths=(4096,)",
        "--gin.BatchSettings.tokens_per_micro_batch=16384",
        head_dim=head_dim,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["programs"]["decode"]["temp_bytes"] < 0.5 * found["resident_bytes"]["cache"]


@needs_compiler
@pytest.mark.slow
def test_a_critic_shows(tmp_path):
    names = "--programs=accumulate,apply"
    done = plan_command(
        tmp_path, "--topology=v5e:2x2", names, "--json", "--gin.train.objective=@PPO()"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    resident = found["resident_bytes"]
    assert resident["critic_params"] == pytest.approx(resident["params"], rel=0.01)
    assert resident["gradients"] == pytest.approx(2 * resident["params"], rel=0.01)
    assert found["programs"]["accumulate"]["kernels"]  # splash attention


def slow_case(model, topology_name, *bindings, limit_mib=None):
    arguments = [
        f"--gin_file=configs/plans/{model}.gin",
        f"--topology={topology_name}",
        "--programs=accumulate",
        "--no_knobs",
        "--json",
    ]
    command = [sys.executable, "-m", "spo_jax.main", "plan", *arguments, *bindings]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    if limit_mib is not None:
        environment["LIBTPU_INIT_ARGS"] = f"--xla_tpu_max_hbm_size_mib={limit_mib}"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)["programs"]["accumulate"]


@needs_compiler
@pytest.mark.slow
def test_an_8b_update_fits_its_temporaries_into_3_2_gib():
    """SPO, 64 sequences of 4096, parameters spread over the 64 chips of v5p:4x4x4."""
    accumulate = slow_case("llama-3.1-8b", "v5p:4x4x4")
    assert accumulate["temp_bytes"] <= 3.2 * GIB
    assert accumulate["kernels"]
    # And the compiler agrees when it is told that there is no more.
    limit = accumulate["argument_bytes"] + 3.2 * GIB
    less = slow_case("llama-3.1-8b", "v5p:4x4x4", limit_mib=int(limit / 2**20))
    assert not less["failure"]
    assert less["flops"] == accumulate["flops"]  # nothing more is computed twice
    assert less["wire_bytes"] == accumulate["wire_bytes"]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("small", "large"), [("v5p:2x2x4", "v5p:4x8x8"), ("v5e:4x4", "v5e:16x16")], ids=["v5p", "v5e"]
)
def test_weak_scaling_from_16_to_256_chips(small, large):
    """A row a chip, parameters spread over 16: what a chip sends grows by at most a tenth."""
    sent = {
        chips: slow_case(
            "smollm2-1.7b",
            name,
            "--gin.MeshShape.fsdp=16",
            f"--gin.MeshShape.data={chips // 16}",
        )["wire_bytes"]
        for name, chips in ((small, 16), (large, 256))
    }
    assert sent[256] <= 1.1 * sent[16]


@needs_compiler
@pytest.mark.slow
def test_a_collective_counts_once_however_the_compiler_spreads_it():
    """On v5e collectives go on while other fusions compute; told not to, the same is sent."""
    config = tiny_config(
        embed_dim=2048, mlp_dim=8192, num_heads=16, num_kv_heads=16, head_dim=128,
        compute_dtype="bfloat16", remat_policy="full", attention="splash",
    )  # fmt: skip
    mesh = make_mesh(data=4, fsdp=4, devices=topology.named_slice("v5e:4x4").devices)
    learner = Learner(Transformer(config), SoftPolicyOptimization(baseline="group"), AdamW(), mesh)
    bucket = RowBucket(
        num_rows=16, row_length=1024, completions_per_row=1, max_completion_tokens=512
    )
    lowered = learner.lowered(bucket)["accumulate"]
    whole = {"xla_tpu_enable_async_collective_fusion": "false"}
    texts = [lowered.compile(options).as_text() for options in (None, whole)]
    assert ["AsyncCollectiveStart" in text for text in texts] == [True, False]
    spread, together = (program_costs(text, num_devices=16).collectives for text in texts)
    assert spread == together


def test_plans_of_published_models_are_read(capsys):
    """All gin files of configs/plans/, and the critic's optimizer follows the policy's."""
    from spo_jax.commands import gin_config
    from spo_jax.running.configurables import CONFIGURABLES
    from spo_jax.running.plan_settings import planned_run
    from spo_jax.train import train

    sizes = {}
    for model in ("smollm2-1.7b", "llama-3.1-8b", "qwen3-8b", "llama-3.1-70b"):
        files = [f"configs/plans/{model}.gin"]
        bindings = ["train.objective = @PPO()"]
        arguments = gin_config.configured_arguments(train, CONFIGURABLES, files, bindings)
        plan = planned_run(arguments)
        assert isinstance(plan.objective, PPO) and plan.critic_optimizer == AdamW()
        sizes[model] = num_parameters(plan.config)
    published = {  # in billions, of their model cards
        "smollm2-1.7b": 1.711,
        "llama-3.1-8b": 8.030,
        "qwen3-8b": 8.191,
        "llama-3.1-70b": 70.554,
    }
    assert sizes == pytest.approx(published, abs=0.001)


def num_parameters(config):
    from jax import tree

    from spo_jax.models import param_shapes

    return sum(leaf.size for leaf in tree.leaves(param_shapes(config))) / 1e9


@needs_compiler
@pytest.mark.parametrize("count", [2, 3, 4])
def test_chips_of_a_host_that_form_no_box_make_a_mesh(count):
    """What an actor's thread leaves to the learner on a TPU host."""
    devices = topology.named_slice("v5e:2x2").devices[:count]
    mesh = make_mesh(fsdp=count, devices=devices)
    assert sorted(d.id for d in mesh.devices.flat) == [d.id for d in devices]
