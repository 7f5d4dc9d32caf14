"""Runs MLX's own Python tests on the fork's wheel and on the stock wheel of MLX.

    make core-suite MLX_TESTS=path/to/mlx/python/tests

The tests are those of a checkout of MLX. Each wheel gets a new environment, and each
file of tests a process. Prints the tests whose outcomes differ. The exit status is 1 if
a test is worse on the fork and core_suite_known.json has no reason for it.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KNOWN = Path(__file__).with_name("core_suite_known.json")
GOOD = ("passed", "skipped", "expected failure")
FILE_TIMEOUT = 1200


# ---- the process that runs one file ----------------------------------------------


class Outcomes(unittest.TestResult):
    """Records the outcome of each test by its id. A failed subtest fails its test."""

    def __init__(self):
        super().__init__()
        self.outcomes = {}

    def addSuccess(self, test):
        self.outcomes.setdefault(test.id(), "passed")

    def addSkip(self, test, reason):
        self.outcomes[test.id()] = "skipped"

    def addError(self, test, error):
        self.outcomes[test.id()] = "error"

    def addFailure(self, test, error):
        self.outcomes[test.id()] = "failed"

    def addExpectedFailure(self, test, error):
        self.outcomes[test.id()] = "expected failure"

    def addUnexpectedSuccess(self, test):
        self.outcomes[test.id()] = "unexpected success"

    def addSubTest(self, test, subtest, error):
        if error is not None:
            wrong = issubclass(error[0], test.failureException)
            self.outcomes[test.id()] = "failed" if wrong else "error"


def run_file(directory, name, output):
    result = Outcomes()
    suite = unittest.defaultTestLoader.discover(directory, pattern=name)
    suite.run(result)
    Path(output).write_text(json.dumps(result.outcomes))


# ---- two environments ----------------------------------------------------------


def environment(name, requirement, version):
    """Creates a virtual environment with nothing but ``requirement`` and NumPy.

    Returns its Python interpreter. Exits if ``mlx`` in it does not have ``version``.
    """
    path = ROOT / "build" / "core-suite" / name
    subprocess.run([sys.executable, "-m", "venv", "--clear", path], check=True)
    python = path / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", requirement, "numpy"]
    subprocess.run(pip, check=True)
    ask = [python, "-c", "import mlx.core; print(mlx.core.__version__)"]
    found = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
    if found.strip() != version:
        sys.exit(f"The environment {name} has mlx {found.strip()}, not {version}.")
    return python


def outcomes_of(python, tests, name, pattern="test*.py"):
    """Returns the outcomes of the tests in all files, by test id.

    If the process of a file crashes or takes too long, the result has an error under
    the file's name instead of the file's tests.
    """
    found = {}
    output = python.parents[1] / "outcomes.json"
    for file in sorted(tests.glob(pattern)):
        output.unlink(missing_ok=True)
        command = [python, __file__, "--file", tests, file.name, output]
        clean = {
            "DEVICE": "cpu",
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
        }
        log = output.with_name(f"{file.stem}.log")
        try:
            with log.open("w") as stream:
                status = subprocess.run(
                    command,
                    stdout=stream,
                    stderr=stream,
                    env=clean,
                    timeout=FILE_TIMEOUT,
                ).returncode
        except subprocess.TimeoutExpired:
            status = "timeout"
        if status == 0:
            found |= json.loads(output.read_text())
        else:
            found[file.stem] = f"error (status {status})"
        print(f"{name}: {file.name}, {len(found)} tests so far", file=sys.stderr)
    return found


def compared(stock, fork, known):
    """Returns lines about outcomes that differ, and a list of tests.

    The tests are those that are worse on the fork without a reason in ``known``.
    """
    lines, worse = [], []
    for test in sorted(stock.keys() | fork.keys()):
        before, after = stock.get(test, "missing"), fork.get(test, "missing")
        if before == after:
            continue
        reason = known.get(test)
        if reason is None and after not in GOOD:
            worse.append(test)
        lines.append(f"{test}: {before} -> {after} ({reason or 'no reason is known'})")
    return lines, worse


def unsteady(worse, run):
    """Runs the files of the tests in ``worse`` again, with ``run``.

    Returns a reason for each of these tests that does not fail this time.
    """
    again = {}
    for module in sorted({test.partition(".")[0] for test in worse}):
        again |= run(f"{module}.py")
    reason = "unsteady: did not fail when its file was run again"
    return {test: reason for test in worse if again.get(test) in GOOD}


def report(stock, fork, known):
    for name, outcomes in (("stock", stock), ("fork", fork)):
        counts = collections.Counter(outcomes.values())
        words = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
        print(f"{name}: {len(outcomes)} tests: {words}")
    lines, worse = compared(stock, fork, known)
    print(*(lines or ["Nothing differs."]), sep="\n")
    print(f"{len(worse)} tests are worse without a known reason.")
    return 1 if worse or not stock else 0


def main():
    if sys.argv[1:2] == ["--file"]:
        return run_file(*sys.argv[2:])
    parser = argparse.ArgumentParser(prog="upstream.core_suite")
    parser.add_argument("tests", type=Path, help="python/tests of a checkout of MLX")
    parser.add_argument(
        "--wheel", type=Path, required=True, help="the wheel of the fork"
    )
    parser.add_argument(
        "--stock", required=True, help="the version of MLX to compare with"
    )
    parser.add_argument(
        "--extra", default="", help="the extra to install both with, such as [cpu]"
    )
    options = parser.parse_args()
    if not list(options.tests.glob("test*.py")):
        parser.error(f"There are no tests in {options.tests}.")
    # With == pip would accept the fork, too, because its version 0.32.4+topk.1 matches
    # ==0.32.4.
    requirement = f"mlx{options.extra}==={options.stock}"
    stock = environment("stock", requirement, options.stock)
    wheel = options.wheel.resolve()
    version = wheel.name.split("-")[1]
    fork = environment("fork", f"{wheel}{options.extra}", version)
    tests = options.tests.resolve()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = pool.map(outcomes_of, (stock, fork), (tests, tests), ("stock", "fork"))
    before, after = both
    known = json.loads(KNOWN.read_text())
    # Some of MLX's tests draw numbers without a seed and fail now and then.
    known |= unsteady(
        compared(before, after, known)[1],
        lambda file: outcomes_of(fork, tests, "fork again", file),
    )
    return report(before, after, known)


if __name__ == "__main__":
    sys.exit(main())
