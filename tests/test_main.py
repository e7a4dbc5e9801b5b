"""The command line: its files, its exit status, one line for every bad input."""

import argparse
import subprocess
import sys

import pandas as pd
import pytest
import xgboost as xgb

from boostloss.__main__ import EXAMPLE, _parser, main
from boostloss.report import compare
from boostloss.report.scores import Comparison


@pytest.fixture
def csv(claims, tmp_path):
    path = tmp_path / "data.csv"
    claims.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm", "hist"])
@pytest.mark.parametrize("losses", [["built-in"], ["focal"]])
def test_the_command_writes_what_loads_alone(engine, losses, csv, tmp_path, monkeypatch, capsys):
    # whichever is best, its model and its snippet must work
    monkeypatch.setattr(Comparison, "best", property(lambda self: losses[0]))
    output = tmp_path / "deep" / "out"
    options = ["--target", "target", "--drop", "patient", "day", "--engine", engine, "--folds", "2",
               "--rounds", "20", "--losses", *losses, "--output", str(output)]  # fmt: skip
    assert main(["compare", str(csv), *options]) == 0
    suffix = {"xgboost": "json", "lightgbm": "txt", "hist": "joblib"}[engine]
    names = {"report.html", "table.csv", f"model.{suffix}", "model_loss.json", "use_model.py"}
    assert {path.name for path in output.iterdir()} == names
    page = (output / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "http" not in page.replace("<!DOCTYPE html>", "")  # nothing is fetched
    assert "built-in" in pd.read_csv(output / "table.csv")["loss"].tolist()
    said = capsys.readouterr().out.splitlines()
    assert "report.html" in said[-1]
    assert said[:5] == [
        'data.csv: CSV, UTF-8, separator ","; 900 rows, 7 features',
        "classes: fine 803 (89.22%), fraud 97 (10.78%)",
        "numbers: a, b, c, d, e, f",
        "categories: kind (2: x, y)",
        "not features: target (--target), patient (--drop), day (--drop)",
    ]
    command = [sys.executable, output / "use_model.py", csv, tmp_path / "p.csv"]
    subprocess.run(command, check=True, cwd=tmp_path)
    probability = pd.read_csv(tmp_path / "p.csv")["probability_fraud"]
    assert len(probability) == 900
    assert 0.05 < probability.mean() < 0.2
    assert "python use_model.py new_rows.csv" in page
    if engine == "xgboost":
        xgb.Booster(model_file=output / "model.json")


def test_parquet_groups_and_time(claims, tmp_path):
    path = tmp_path / "data.parquet"
    claims.to_parquet(path)
    for option, other in (("--groups", "patient"), ("--time-order", "day")):
        output = tmp_path / other
        arguments = ["compare", str(path), "--target", "target", option, other, "--folds", "2",
                     "--rounds", "10", "--losses", "ghm", "--output", str(output)]  # fmt: skip
        assert main(arguments) == 0
        assert (output / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (None, ["--target", "target"], "no such file"),
        (lambda f: f, ["--target", "label"], "--target must be a column"),
        (lambda f: f, ["--target", "target", "--groups", "g"], "--groups must be a column"),
        (lambda f: f.assign(target=1), ["--target", "target"], "at least two classes"),
        (lambda f: f, ["--target", "a"], "900 different values"),
        (lambda f: f, ["--target", "target", "--weight", "b"], "--weight 'b' must contain"),
        (lambda f: f, ["--target", "target", "--positive", "frud"], "positive must be one of"),
        (lambda f: f.assign(target=f["target"].mask(f["a"] > 1)), ["--target", "target"], "none"),
        (lambda f: f.assign(name=[f"row {i}" for i in range(900)]), ["--target", "target"],
         "'name' contains 900 different strings"),
        (lambda f: f.rename(columns={"b": "a"}), ["--target", "target"], "more than one a"),
        (lambda f: f[["target"]], ["--target", "target"], "must have several columns"),
        (lambda f: f[["target", "a"]], ["--target", "target", "--drop", "a"], "must have features"),
        (lambda f: f, ["--target", "target", "--losses", "focall"], "--losses must be any of"),
        (lambda f: f, ["--target", "target", "--folds", "400"], "folds must be"),
        (lambda f: f, ["--target", "target", "--learning-rate", "0"], "learning_rate must be"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(change, options, words, claims, tmp_path, capsys):
    path = tmp_path / "data.csv"
    if change is not None:
        change(claims.drop(columns=["patient", "day"])).to_csv(path, index=False)
    output = tmp_path / "out"
    assert main(["compare", str(path), *options, "--output", str(output)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("boostloss: ")
    assert words in said[0]
    assert not output.exists()


def test_a_folder_that_cannot_be_written_to(csv, tmp_path, capsys):
    for output in (csv / "below", "/proc/nothing"):
        assert main(["compare", str(csv), "--target", "target", "--output", str(output)]) == 2
        assert "--output must be a directory" in capsys.readouterr().err


def test_ctrl_c_leaves_what_was_finished(csv, tmp_path, monkeypatch, capsys):
    train_and_test, calls = compare._train_and_test, []

    def interrupted(comparison, name, split):
        calls.append(name)
        if len(calls) == 4:  # in the second fold
            raise KeyboardInterrupt
        train_and_test(comparison, name, split)

    monkeypatch.setattr(compare, "_train_and_test", interrupted)
    output = tmp_path / "out"
    options = ["--target", "target", "--drop", "patient", "day", "--folds", "3", "--rounds", "10"]
    arguments = ["compare", str(csv), *options, "--losses", "focal", "--output", str(output)]
    assert main(arguments) == 130
    # one fold is whole, of the second focal is missing
    assert pd.read_csv(output / "table.csv")["loss"].tolist() == ["built-in", "focal"]
    said = capsys.readouterr().out
    assert "Interrupted after 3 of 6 models: 1 fold(s) compared." in said
    assert "on a single fold" in said
    assert "Keep" not in said
    assert "Interrupted" in (output / "report.html").read_text()


def test_options_are_refused_before_the_file_is_read(tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere.csv")
    wrong = {"--losses": "focall", "--folds": "1", "--rounds": "2", "--learning-rate": "0",
             "--costs": "50"}  # fmt: skip
    for option, value in wrong.items():
        assert main(["compare", nowhere, "--target", "y", option, value]) == 2
        assert option.strip("-").replace("-", "_") in capsys.readouterr().err.replace("-", "_")
    assert main(["compare", str(tmp_path), "--target", "y"]) == 2
    assert "got a directory" in capsys.readouterr().err


def test_an_earlier_report_stays_unless_forced(csv, tmp_path, monkeypatch, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "table.csv").write_text("earlier")
    (output / "notes.txt").write_text("mine")
    arguments = ["compare", str(csv), "--target", "target", "--drop", "patient", "day", "--folds",
                 "2", "--rounds", "5", "--losses", "balanced", "--output", str(output)]  # fmt: skip
    assert main(arguments) == 2
    assert "which contains table.csv: use --force" in capsys.readouterr().err
    assert (output / "table.csv").read_text() == "earlier"
    assert main([*arguments, "--force"]) == 0
    assert (output / "table.csv").read_text() != "earlier"
    assert (output / "notes.txt").read_text() == "mine"


def test_help_says_what_every_option_does(capsys):
    for arguments, words in (
        (["--version"], "boostloss 0."),
        (["--help"], "compare"),
        (["compare", "--help"], "exit codes:"),
    ):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
        assert words in capsys.readouterr().out
    (compare,) = _parser()._subparsers._group_actions[0].choices.values()
    for action in compare._actions:
        assert action.help
        if action.default not in (None, [], False, argparse.SUPPRESS):
            assert "default: %(default)s" in action.help, action.option_strings
    example = next(line for line in EXAMPLE.splitlines() if "boostloss compare" in line)
    assert _parser().parse_args(example.split()[1:]).target == "fraud"


@pytest.mark.parametrize("costs", ["50", "1:2:3", "1:", "a:b", "0:1", "1:-2", "nan:1", "1:inf", ""])
def test_costs_are_two_numbers(costs, tmp_path, capsys):
    arguments = ["compare", str(tmp_path / "nowhere.csv"), "--target", "y", f"--costs={costs}"]
    assert main(arguments) == 2
    assert f"--costs must be FP:FN, two numbers above 0 such as 1:50, got {costs!r}" in (
        capsys.readouterr().err
    )
