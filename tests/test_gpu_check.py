"""``make gpu-check``: how it runs its steps, and what it reports."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "tools" / "gpu_check.py"


def load():
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    return module


gpu_check = load()
Step = gpu_check.Step


def python(code):
    return [sys.executable, "-c", code]


def fake_driver(folder, text):
    """Writes a program ``nvidia-smi`` that prints ``text``."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="Apple silicon has a GPU")
def test_without_a_gpu_it_says_so_and_stops_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stdout == (
        "There is no GPU here: nothing was built, tested or measured.\n"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="nvidia-smi is for Linux")
def test_the_driver_chooses_the_extra(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fake_driver(tmp_path, "NVIDIA Some, 580.159.04")
    assert gpu_check.find_gpu() == ("NVIDIA Some", "580.159.04")
    fake_driver(tmp_path, "No devices were found")
    assert gpu_check.find_gpu() is None
    assert gpu_check.extra_for("580.159.04") == "cuda13"
    assert gpu_check.extra_for("575.1") == "cuda12"
    assert gpu_check.extra_for("") == ""


def test_the_limits_add_up_to_ten_minutes():
    steps = gpu_check.steps_of("cuda13")
    assert sum(step.seconds for step in steps) <= 600
    assert "INSTALLED_EXTRA=[cuda13]" in steps[0].command
    scripts = [part for step in steps for part in step.command if part[-3:] == ".py"]
    assert len(scripts) == 2
    assert all((ROOT / script).exists() for script in scripts)


def test_a_failed_step_does_not_hide_the_others():
    steps = [
        Step("good", python("print('all is well')"), 20, must_print="well"),
        Step("bad", python("raise SystemExit(3)"), 20),
        Step("needs bad", python("print()"), 20, needs="bad"),
        Step("needs good", python("print('Not run: split int64')"), 20, needs="good"),
        Step("missing", ["no-such-program"], 20, program="no-such-program"),
        Step("silent", python("print('0 tests')"), 20, must_print=r"[1-9] tests"),
        Step("absent", ["no-such-program"], 20),
    ]
    results = gpu_check.run_steps(steps)
    assert [(r.step.name, r.status) for r in results] == [
        ("good", "passed"),
        ("bad", "failed"),
        ("needs bad", "not run"),
        ("needs good", "passed"),
        ("missing", "not run"),
        ("silent", "failed"),
        ("absent", "failed"),
    ]
    assert results[1].reason == "exit status 3"
    assert gpu_check.left_out(results) == [
        "needs bad",
        "missing",
        "needs good: split int64",
    ]


def test_a_step_that_takes_too_long_ends_with_its_processes(tmp_path):
    file = tmp_path / "alive"
    child = f"import time; time.sleep(3); open({str(file)!r}, 'w')"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    (result,) = gpu_check.run_steps([Step("slow", python(code), 1)])
    assert result.status == "failed" and result.reason == "stopped after 1 s"
    time.sleep(3)
    assert not file.exists()


@pytest.mark.parametrize("code, status", [("print('fine')", 0), ("1 / 0", 1)])
def test_it_writes_a_report_and_returns_a_status(code, status, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_check, "find_gpu", lambda: ("Some GPU", "580.1"))
    monkeypatch.setattr(gpu_check, "FOLDER", tmp_path)
    monkeypatch.setattr(
        gpu_check, "steps_of", lambda extra: [Step("x", python(code), 20)]
    )
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    assert gpu_check.main() == status
    record = json.loads((tmp_path / "report.json").read_text())
    assert record["gpu"] == "Some GPU" and record["extra"] == "cuda13"
    assert record["steps"][0]["status"] == ("failed" if status else "passed")
    text = (tmp_path / "report.txt").read_text()
    assert "Some GPU" in text and "---- x" in text
    assert record["benchmark"] is None
    assert ("ZeroDivisionError" in text) == (status == 1)


def test_the_benchmark_of_a_mixture_runs_on_the_cpu(tmp_path):
    file = tmp_path / "mixture.json"
    command = [sys.executable, ROOT / "benchmarks" / "mixture.py", "--steps", "3"]
    subprocess.run([*command, "--json", file], check=True, capture_output=True)
    record = json.loads(file.read_text())
    assert set(record["milliseconds"]) == {"training step", "decoding step"}
    for times in record["milliseconds"].values():
        assert times["here"] > 0 and times["stock"] > 0
