"""Tests and measures the GPU of this machine: ``make gpu-check``.

Builds the wheel, installs it with the back end for the GPU, and runs the steps of
``steps_of``, each with a time limit. The limits add up to ten minutes. A step that
fails does not stop those after it, unless they need it. Writes report.txt and
report.json into build/gpu-check. They are made to be pasted.

The exit status is 0 if every step that ran passed, 1 if one failed, and 2 if there is
no GPU.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "build" / "gpu-check"
# The first driver that can run CUDA 13.
CUDA_13_DRIVER = 580
SHOWN_LINES = 60


@dataclasses.dataclass
class Step:
    name: str
    command: list
    seconds: int
    # The name of a step without which this one cannot run.
    needs: str | None = None
    # A program that may be missing. Then the step is not run.
    program: str | None = None
    # A pattern that the output must contain, so that a run without tests is no success.
    must_print: str | None = None


@dataclasses.dataclass
class Result:
    step: Step
    status: str  # passed, failed or not run
    seconds: float = 0.0
    reason: str = ""
    output: str = ""


def find_gpu():
    """Returns the name of the GPU and the version of its driver, or None."""
    if platform.system() == "Darwin":
        return ("Apple GPU", "") if platform.machine() == "arm64" else None
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode or "," not in done.stdout:
        return None
    name, _, driver = done.stdout.splitlines()[0].rpartition(",")
    return name.strip(), driver.strip()


def extra_for(driver):
    """Returns the extra of the wheel for a driver of NVIDIA's; none on a Mac."""
    if not driver:
        return ""
    return "cuda13" if int(driver.split(".")[0]) >= CUDA_13_DRIVER else "cuda12"


def steps_of(extra, folder=FOLDER):
    """Returns the steps. Their limits add up to ten minutes."""
    venv = folder / "venv"
    python = str(venv / "bin" / "python")
    installed = f"[{extra}]" if extra else ""
    build = ["make", "testing-module", f"VENV={venv}", f"PYTHON={sys.executable}"]
    selftest = [python, "-m", "mlx.selftest", "test", "--device", "gpu"]
    few = ["--dtypes", "float32", "int64", "--seconds", "10"]
    sanitizer = ["compute-sanitizer", "--error-exitcode", "1", "--tool"]
    tests = [python, "-m", "pytest", "-n0", "-p", "no:cacheprovider", "tests", "-k"]
    gpu = [python, "benchmarks/gpu.py", "--json", str(folder / "benchmark.json")]
    mixture = [python, "benchmarks/mixture.py", "--device", "gpu"]
    mixture += ["--json", str(folder / "mixture.json")]
    return [
        Step("build", [*build, f"INSTALLED_EXTRA={installed}"], 230),
        Step("selftest", [*selftest, "--seconds", "90"], 120, needs="build"),
        Step(
            "engine tests",
            [*tests, "gpu and not gpu_check"],
            90,
            needs="build",
            must_print=r"Tests by engine:.*\bgpu [1-9]",
        ),
        *(
            Step(
                tool,
                [*sanitizer, tool, *selftest, *few],
                45,
                needs="build",
                program="compute-sanitizer",
                must_print="selftest passed",
            )
            for tool in ("memcheck", "racecheck")
        ),
        Step("benchmark", [*gpu, "--seconds", "0.1"], 40, needs="build"),
        Step("mixture of experts", mixture, 30, needs="build"),
    ]


def run_command(command, seconds):
    """Returns the exit status, or None if the time was up, and what was printed."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        # The processes that the command has started end with it.
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    return process.returncode, output


def run_step(step, passed):
    """Runs a step, unless something that it needs is missing."""
    if step.needs and step.needs not in passed:
        return Result(step, "not run", reason=f"the step {step.needs} failed")
    if step.program and shutil.which(step.program) is None:
        return Result(step, "not run", reason=f"{step.program} is not installed")
    begin = time.monotonic()
    try:
        status, output = run_command(step.command, step.seconds)
    except OSError as error:
        status, output = 1, str(error)
    reason = ""
    if status is None:
        reason = f"stopped after {step.seconds} s"
    elif status:
        reason = f"exit status {status}"
    elif step.must_print and not re.search(step.must_print, output):
        reason = f"its output has no {step.must_print!r}"
    word = "failed" if reason else "passed"
    return Result(step, word, time.monotonic() - begin, reason, output)


def run_steps(steps):
    """Runs all steps in order, prints a line for each, and returns the results."""
    results = []
    for step in steps:
        passed = {result.step.name for result in results if result.status == "passed"}
        result = run_step(step, passed)
        results.append(result)
        print(line_of(result), flush=True)
    return results


def line_of(result):
    reason = f": {result.reason}" if result.reason else ""
    return f"{result.step.name:20} {result.status} ({result.seconds:.0f} s){reason}"


def left_out(results):
    """Returns lines that say what was not run, of the steps and inside of them."""
    lines = [r.step.name for r in results if r.status == "not run"]
    for result in results:
        for line in result.output.splitlines():
            if line.startswith("Not run:"):
                lines.append(f"{result.step.name}: {line[9:]}")
    return lines


def report_text(facts, results):
    parts = [", ".join(f"{name}: {value}" for name, value in facts.items())]
    parts += [line_of(result) for result in results]
    parts.append(f"Not run: {'; '.join(left_out(results)) or 'nothing was left out'}")
    for result in results:
        if result.step.name != "build" or result.status == "failed":
            shown = result.output.splitlines()[-SHOWN_LINES:]
            parts += ["", f"---- {result.step.name}", *shown]
    return "\n".join(parts) + "\n"


def write_report(facts, results, folder):
    record = dict(facts)
    record["steps"] = [
        {
            "name": r.step.name,
            "status": r.status,
            "seconds": round(r.seconds, 1),
            "reason": r.reason,
        }
        for r in results
    ]
    record["not_run"] = left_out(results)
    for name in ("benchmark", "mixture"):
        file = folder / f"{name}.json"
        record[name] = json.loads(file.read_text()) if file.exists() else None
    (folder / "report.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / "report.txt").write_text(report_text(facts, results))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extra", help="of the wheel: cuda12 or cuda13")
    options = parser.parse_args()
    gpu = find_gpu()
    if gpu is None:
        print("There is no GPU here: nothing was built, tested or measured.")
        return 2
    name, driver = gpu
    extra = options.extra or extra_for(driver)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.json"):
        old.unlink()
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    facts = {
        "gpu": name,
        "driver": driver,
        "extra": extra,
        "commit": git.stdout.strip() or "unknown",
        "date": datetime.date.today().isoformat(),
    }
    print(", ".join(f"{key}: {value}" for key, value in facts.items()))
    results = run_steps(steps_of(extra))
    write_report(facts, results, FOLDER)
    print(f"Not run: {'; '.join(left_out(results)) or 'nothing was left out'}")
    print("The report is in build/gpu-check/report.txt and report.json.")
    return 1 if any(result.status == "failed" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
