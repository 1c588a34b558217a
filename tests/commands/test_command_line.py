"""What the command line says to a user who mistypes."""

import pytest

from spo_jax import main
from spo_jax.commands import gin_config
from spo_jax.errors import UserError
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.train import train

QUICKSTART = "configs/runs/quickstart.gin"


def configured(*bindings, files=()):
    return gin_config.configured_arguments(train, CONFIGURABLES, files, bindings)


def test_overview_names_every_command(capsys):
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in main.COMMANDS)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main.run([name, "--help"])
    assert stopped.value.code == 0
    assert len(capsys.readouterr().out) > 200


def test_unknown_command_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown command 'trian'; did you mean 'train'\?"):
        main.run(["trian"])


def test_unknown_flag_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown argument '--rundir'; did you mean '--run_dir'\?"):
        main.run(["train", "--run_dir=x", "--rundir=y"])


def test_bad_input_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as stopped:
        main.main(["trian"])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_quickstart_configures_the_objects_it_names(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    settings = configured("train.seed = 3", files=[QUICKSTART])
    assert settings["seed"] == 3
    assert settings["objective"].link == "cross_entropy"
    assert settings["replay"].offline_fraction == 0.5
    beta = settings["objective"].beta
    assert f"SoftPolicyOptimization.beta = {beta}\n" in gin_config.resolved_config()


@pytest.mark.parametrize("name", ["GRPO", "PPO", "RLOO", "Reinforce", "Supervised"])
def test_another_objective_is_one_line(name, monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    settings = configured(f"train.objective = @{name}()", files=[QUICKSTART])
    assert type(settings["objective"]).__name__ == name


def test_overlay_shrinks_the_run(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    settings = configured(files=[QUICKSTART, "configs/tiny.gin"])
    assert settings["num_updates"] == 2
    assert settings["evaluation"].ks == (1, 2)


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("train.num_updatez = 3", "no 'train.num_updatez'; did you mean 'train.num_updates'"),
        ("trian.num_updates = 3", "no 'trian'; did you mean 'train'"),
        (
            "train.objective = @SoftPolicyOptimisation()",
            "no 'SoftPolicyOptimisation'; did you mean 'SoftPolicyOptimization'",
        ),
        ("train.num_updates = [3", "config: "),
    ],
)
def test_unknown_binding_names_the_nearest(binding, message):
    with pytest.raises(UserError, match=message):
        configured(binding)


def test_value_an_object_refuses_is_reported_in_its_own_words():
    with pytest.raises(UserError) as refused:
        configured("train.objective = @SoftPolicyOptimization()", "SoftPolicyOptimization.beta = 0")
    assert str(refused.value) == "beta must be finite and above 0, got 0"


def test_missing_config_file_names_the_nearest(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)
    with pytest.raises(UserError, match=r"does not exist; did you mean '.*quickstart\.gin'"):
        configured(files=["configs/runs/quickstrt.gin"])


def test_bare_words_on_the_command_line_are_strings():
    args = main.argparse.Namespace()
    rest = gin_config.take_bindings(args, ["--gin.A.path=smollm2", "--gin.A.n=3", "--other"])
    assert args.gin_bindings == ["A.path = 'smollm2'", "A.n = 3"]
    assert rest == ["--other"]


def test_values_of_objects_that_are_not_part_of_the_run_are_noted(monkeypatch, request, capsys):
    monkeypatch.chdir(request.config.rootpath)
    configured("train.objective = @Supervised()", files=[QUICKSTART])
    assert "note: set but not used by this run: SoftPolicyOptimization" in capsys.readouterr().err
    configured(files=[QUICKSTART])
    assert capsys.readouterr().err == ""
