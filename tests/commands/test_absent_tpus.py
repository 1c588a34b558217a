"""The TPU compiler must not be heard where it is installed and no TPU is there."""

import pytest

from spo_jax.commands import absent_tpus


@pytest.fixture
def machine(monkeypatch):
    """Sets what is there; gives the variables that are set in answer."""
    environment: dict[str, str] = {}
    monkeypatch.setattr(absent_tpus.os, "environ", environment)

    def has(*, compiler, tpu):
        spec = object() if compiler else None
        monkeypatch.setattr(absent_tpus.importlib.util, "find_spec", lambda name: spec)
        monkeypatch.setattr(absent_tpus, "_has_tpu", lambda: tpu)
        absent_tpus.quiet_absent_tpus()
        return environment

    return has


def test_a_compiler_without_a_tpu_is_answered(machine):
    assert set(machine(compiler=True, tpu=False)) == {
        "TPU_WORKER_HOSTNAMES",
        "TPU_ACCELERATOR_TYPE",
    }


@pytest.mark.parametrize(("compiler", "tpu"), [(True, True), (False, False), (False, True)])
def test_other_machines_are_left_alone(machine, compiler, tpu):
    assert machine(compiler=compiler, tpu=tpu) == {}
