"""The TPU compiler must not be heard where it is installed and no TPU is there."""

import os

import pytest

from spo_jax.commands import absent_tpus


@pytest.fixture
def machine(monkeypatch):
    """Sets what is there; gives the variables that are set in answer."""
    names = ("TPU_WORKER_HOSTNAMES", "TPU_ACCELERATOR_TYPE")
    for name in names:
        monkeypatch.setenv(name, "")  # so that what is set here ends with the test
        monkeypatch.delenv(name)

    def has(*, compiler, tpu):
        monkeypatch.setattr(absent_tpus, "_has_compiler", lambda: compiler)
        monkeypatch.setattr(absent_tpus, "_has_tpu", lambda: tpu)
        absent_tpus.quiet_absent_tpus()
        return {name for name in names if name in os.environ}

    return has


def test_a_compiler_without_a_tpu_is_answered(machine):
    assert set(machine(compiler=True, tpu=False)) == {
        "TPU_WORKER_HOSTNAMES",
        "TPU_ACCELERATOR_TYPE",
    }


@pytest.mark.parametrize(("compiler", "tpu"), [(True, True), (False, False), (False, True)])
def test_other_machines_are_left_alone(machine, compiler, tpu):
    assert machine(compiler=compiler, tpu=tpu) == set()
