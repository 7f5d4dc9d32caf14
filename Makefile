# make demo    build the wheel, install it, run the example with it and with stock MLX
# make test    build and install what changed, run all tests but the slow ones
# make test-all  run the slow tests too: see Tests below
# make check   check the format, lint, then run the smoke tests
# make referees  compare with torch, jax and onnxruntime
# make referees-newest  the same with their newest versions, which need Python 3.12
# make clients use unchanged mlx-lm: train its model types, fine-tune a mixture
# make sanitize  run tests under the address, undefined-behaviour and thread sanitizers
# make route   compare nine ways of training a router, and seven of balancing its experts;
#              takes about three minutes
# make bench   measure against stock MLX, torch and NumPy; writes docs/data and
#              docs/performance.md. The machine must be idle
# make never-worse  look for cases slower than stock MLX; writes docs/never-worse.md
# make core-suite MLX_TESTS=...  run MLX's own Python tests on the fork and on stock MLX
# make wheels  build the wheels of every Python and platform, into dist/wheelhouse
# make wheel-macos  build the wheel for macOS on Linux, into dist/macos
# make wheel-aarch64  build the wheel for Linux on aarch64, into dist/aarch64. The
#              machine must run Debian on x86-64
# make test-aarch64  test that wheel in QEMU
# make gpu-check  test and measure the GPU of this machine, in at most ten minutes
# make next-mlx VERSION=...  list what breaks with another version of MLX

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The folders of the stock MLX and of the tests' module, and that of the wheel. All of
# them are for the version of PYTHON. make referees-newest sets others for another one.
BUILD := build
DIST := dist
SOURCES := $(shell find mlx overlay python -type f) CMakeLists.txt setup.py \
  pyproject.toml README.md LICENSE tools/parts.py tools/target.py
TESTS ?= tests

# Use make WERROR=OFF if a newer compiler gives new warnings.
WERROR ?= ON
export MLX_TOPK_WERROR := $(WERROR)

# How many processes run tests side by side; 0 runs them in one.
WORKERS ?= auto
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8

STOCK_VERSION := $(shell sed -n 's/^STOCK_VERSION = "\(.*\)"/\1/p' python/mlx/_version.py)

# The folder in which setup.py builds the wheel. The C++ tests are built in the same
# folder, to use what is compiled already. $(BUILD)/tests is a link to the folder.
WHEEL_BUILD := build/cmake-wheel-$(shell $(PYTHON) -c \
  'import sys; print(sys.implementation.cache_tag)')

# The interpreters whose versions the macOS wheel, the aarch64 wheel and the wheels of
# make wheels are for. make wheels finds all that there are if PYTHONS is empty.
MACOS_PYTHON ?= $(PYTHON)
AARCH64_PYTHON ?= $(PYTHON)
PYTHONS ?=
# The platforms that make wheels builds for: all that this machine can build for.
PLATFORMS ?=

# The date of the files in wheels: that of the commit, or 1980 in a source distribution.
COMMIT_TIME := $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)

MACOS_VERSION := $(shell $(MACOS_PYTHON) -c \
  'import sys; print("%d.%d" % sys.version_info[:2])')
AARCH64_VERSION := $(shell $(AARCH64_PYTHON) -c \
  'import sys; print("%d.%d" % sys.version_info[:2])')
AARCH64 := build/aarch64-$(AARCH64_VERSION)
AARCH64_BUILD := build/wheels/linux-aarch64/cmake-$(AARCH64_VERSION)

ifeq ($(shell uname -s),Linux)
EXTRA := [cpu]
# Cross-building the macOS wheel works on Linux only.
MACOS_WHEEL := dist/macos/.built-$(MACOS_VERSION)
# MLX's CUDA back ends, in which a test looks up symbols, and CUDA's compilers.
CUDA := build/cuda-12/.installed build/cuda-13/.installed $(VENV)/.cuda
endif

# The back end that is installed with the wheel. make gpu-check sets it.
INSTALLED_EXTRA := $(EXTRA)

# The last version of mlx-lm in which most models do not call stop_gradient on their
# indices.
OLDER_MLX_LM := 0.31.3

.PHONY: demo hooks test test-all check lint smoke bench never-worse clients \
  clients-bench \
  route referees referees-newest sanitize core-suite gpu-check testing-module \
  wheel wheel-macos format clean

demo: $(VENV)/.installed
	$(BIN)/python examples/moe_routing.py
	@echo; echo "The same file on stock MLX:"
	@PYTHONPATH=$(BUILD)/stock $(BIN)/python examples/moe_routing.py || true

# ---- Tests -------------------------------------------------------------------
#
# make test takes minutes. make test-all also runs the tests that are marked slow
# (mistakes planted in kernels, instructions counted by valgrind, the source
# distribution, the macOS wheel) and draws more examples. With
# HYPOTHESIS_PROFILE=nightly each run draws new examples. Neither runs the tests of
# make referees, clients and sanitize.

test: export HYPOTHESIS_PROFILE ?= quick
test: hooks
	build/tests/selection_tests
	$(PYTEST) -m "not slow" $(TESTS)

test-all: export HYPOTHESIS_PROFILE ?= ci
test-all: export MLX_TOPK_NEEDS_MACOS_WHEEL := $(if $(MACOS_WHEEL),1)
test-all: hooks $(MACOS_WHEEL) $(CUDA) aarch64-if-available
	build/tests/selection_tests
	$(PYTEST) $(TESTS)

# What tests need beside the wheel: C++ programs, and Metal kernels for the emulator.
hooks: testing-module
	$(BIN)/python tests/build_emulated.py

testing-module: $(VENV)/.installed
	$(BIN)/cmake -S . -B $(WHEEL_BUILD) -DMLX_TOPK_TESTS=ON >/dev/null
	$(BIN)/cmake --build $(WHEEL_BUILD)
	[ -h $(BUILD)/tests ] || rm -rf $(BUILD)/tests
	ln -sfn $(abspath $(WHEEL_BUILD)) $(BUILD)/tests

# The tests of the aarch64 wheel, in QEMU. They need Debian's packages: aarch64/guest.py
# ends with status 3 if these cannot be had, and then tests/test_aarch64.py skips its
# tests and says why.
.PHONY: test-aarch64 aarch64-if-available aarch64-hooks
test-aarch64: export HYPOTHESIS_PROFILE ?= quick
test-aarch64: $(VENV)/.tools
	python=$$($(BIN)/python -m aarch64.guest $(AARCH64_PYTHON)) && \
	  $(MAKE) aarch64-hooks AARCH64_PYTHON=$$python
	$(BIN)/python -m aarch64.run_tests -n $(WORKERS)

aarch64-if-available: $(VENV)/.tools
	if python=$$($(BIN)/python -m aarch64.guest $(AARCH64_PYTHON)); then \
	  $(MAKE) aarch64-hooks AARCH64_PYTHON=$$python; else [ $$? = 3 ]; fi

aarch64-hooks: $(AARCH64)/site/.installed
	$(BIN)/cmake -S . -B $(AARCH64_BUILD) -DMLX_TOPK_TESTS=ON >/dev/null
	$(BIN)/cmake --build $(AARCH64_BUILD) --target selection_tests _selection_testing

# Prints one line and does nothing if there is no GPU. Make exits with status 2 for
# every failure. To tell a failure from a missing GPU, run the script: docs/cuda.md.
gpu-check:
	@$(PYTHON) tools/gpu_check.py $(if $(GPU_EXTRA),--extra $(GPU_EXTRA))

# torch and jax weigh gigabytes, so they are not part of make test.
referees: testing-module $(VENV)/.referees
	MLX_TOPK_TESTING=$(abspath $(BUILD)/tests) $(PYTEST) tests/referees
	@$(BIN)/python -c 'import sys; sys.version_info >= (3, 12) or \
	  print("These versions are not the newest: see make referees-newest.")'

# The versions for Python 3.12 and later, with a wheel for that Python, in a virtual
# environment of its own. Prints one line and does nothing if there is no such Python.
NEWEST := build/newest-referees
referees-newest:
	@python="$(NEWEST_PYTHON)"; \
	[ -n "$$python" ] || python=$$($(PYTHON) -m tools.referees); \
	[ -z "$$python" ] || $(MAKE) referees PYTHON="$$python" VENV=$(NEWEST)/venv \
	  BUILD=$(NEWEST) DIST=$(NEWEST)/dist

# mlx-lm needs transformers, which takes 200 MB, so this is not part of make test.
clients: $(VENV)/.installed $(VENV)/.clients build/older-mlx-lm/.installed \
    build/mlx-lm-source/.installed
	$(BIN)/python -m pytest tests/clients
	$(BIN)/python examples/finetune_moe.py
	$(BIN)/python examples/patch_gates.py

clients-bench: $(VENV)/.installed $(VENV)/.clients
	$(BIN)/python benchmarks/mlx_lm_client.py

route: $(VENV)/.installed
	$(BIN)/python examples/learn_to_route.py --out build/routing
	$(BIN)/python examples/balance_experts.py --out build/routing

# With one thread for each instruction set of the processor, then with all threads.
bench: $(VENV)/.installed $(VENV)/.bench
	all=$$($(BIN)/python -c "import mlx.core as mx; \
	    print(*mx.selection_info()['instruction_sets'])") || exit 1; \
	for cpu in $$all; do \
	  MLX_TOPK_CPU=$$cpu $(BIN)/python benchmarks/run.py --out docs/data \
	    --threads 1 || exit 1; done
	[ $$(nproc) = 1 ] || $(BIN)/python benchmarks/run.py --out docs/data \
	  --threads $$(nproc) --sets table,argpartition,sorts,argmax
	$(BIN)/python benchmarks/page.py

# CASES is --all, --cases NUMBER or another option of the file.
never-worse: $(VENV)/.installed
	$(BIN)/python benchmarks/never_worse.py $(CASES)

sanitize: $(VENV)/.installed
	tests/sanitize.sh $(abspath $(BIN))

# MLX_TESTS is python/tests of a checkout of MLX.
core-suite: $(BUILD)/.wheel
	$(BIN)/python -m upstream.core_suite "$(MLX_TESTS)" --extra "$(EXTRA)" \
	  --wheel $(DIST)/mlx-*.whl --stock $(STOCK_VERSION)

# What breaks with another version of MLX: docs/next-mlx.md.
.PHONY: next-mlx
next-mlx: $(BUILD)/stock/.installed
	$(BIN)/python tools/next_mlx.py $(VERSION)

wheel: $(BUILD)/.wheel

# Every Python on this machine, every platform: docs/building.md.
.PHONY: wheels wheel-aarch64
wheels: export SOURCE_DATE_EPOCH ?= $(COMMIT_TIME)
wheels: $(VENV)/.tools $(VENV)/.wheels
	$(BIN)/python -m tools.wheels $(if $(PLATFORMS),--platforms $(PLATFORMS)) \
	  --out dist/wheelhouse $(if $(PYTHONS),--pythons $(PYTHONS))

wheel-macos: dist/macos/.built-$(MACOS_VERSION)

wheel-aarch64: dist/aarch64/.built-$(AARCH64_VERSION)

# Runs lint first, because it needs no build.
check: lint
	$(MAKE) smoke

lint: $(VENV)/.tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	git ls-files '*.h' '*.cpp' | xargs -P 2 -n 20 $(BIN)/clang-format --dry-run --Werror

smoke: hooks
	$(BIN)/python -m pytest -q -m smoke tests

format: $(VENV)/.tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	git ls-files '*.h' '*.cpp' | xargs $(BIN)/clang-format -i

clean:
	rm -rf build dist $(VENV)

# ---- Files that the targets need, made again when their sources change -------

$(VENV)/.tools: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r requirements.txt
	touch $@

$(VENV)/.referees $(VENV)/.bench $(VENV)/.wheels $(VENV)/.clients $(VENV)/.cuda: $(VENV)/.%: \
    requirements-%.txt $(VENV)/.tools
	$(BIN)/pip install -q -r $<
	touch $@

# The stock MLX: what the wheel is built from, and what tests compare with.
$(BUILD)/stock/.installed: python/mlx/_version.py $(VENV)/.tools
	rm -rf $(BUILD)/stock
	$(BIN)/pip install -q --target $(BUILD)/stock "mlx$(EXTRA)==$(STOCK_VERSION)"
	touch $@

build/cuda-%/.installed: python/mlx/_version.py $(VENV)/.tools
	rm -rf $(@D)
	$(BIN)/pip install -q --no-deps --target $(@D) "mlx-cuda-$*==$(STOCK_VERSION)"
	touch $@

build/older-mlx-lm/.installed: Makefile $(VENV)/.tools
	rm -rf $(@D)
	$(BIN)/pip install -q --no-deps --target $(@D) mlx-lm==$(OLDER_MLX_LM)
	touch $@

# mlx-lm's source distribution, which has its tests.
build/mlx-lm-source/.installed: requirements-clients.txt $(VENV)/.tools
	rm -rf $(@D)
	$(BIN)/pip download -q --no-deps --no-binary mlx-lm -d $(@D) -r $<
	tar xzf $(@D)/mlx_lm-*.tar.gz -C $(@D) --strip-components 1
	touch $@

$(BUILD)/.wheel: export SOURCE_DATE_EPOCH ?= $(COMMIT_TIME)
$(BUILD)/.wheel: $(SOURCES) $(BUILD)/stock/.installed
	rm -f $(DIST)/*.whl
	PYTHONPATH=$(BUILD)/stock PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pip wheel -q \
	  . --no-build-isolation --no-deps -w $(DIST)
	touch $@

$(VENV)/.installed: $(BUILD)/.wheel $(VENV)/.tools
	$(BIN)/pip install -q "$$(ls $(DIST)/mlx-*.whl)$(INSTALLED_EXTRA)"
	$(BIN)/pip install -q --force-reinstall --no-deps $(DIST)/mlx-*.whl
	touch $@

# What make wheels uses to build for other platforms than this one.
CROSS := tools/wheels.py tools/cross_python_headers.cpp $(VENV)/.wheels

dist/macos/.built-% dist/aarch64/.built-%: export SOURCE_DATE_EPOCH ?= $(COMMIT_TIME)

dist/macos/.built-$(MACOS_VERSION): $(SOURCES) $(CROSS) \
    $(shell find macos -type f ! -name '*.pyc')
	$(BIN)/python -m tools.wheels --platforms macos-arm64 --out $(@D) \
	  --pythons $(MACOS_PYTHON)
	touch $@

dist/aarch64/.built-$(AARCH64_VERSION): $(SOURCES) $(CROSS) $(addprefix aarch64/,\
    cross.py toolchain.py toolchain.cmake)
	$(BIN)/python -m tools.wheels --platforms linux-aarch64 --out $(@D) \
	  --pythons $(AARCH64_PYTHON)
	touch $@

# What the tests of the aarch64 wheel import.
AARCH64_PLATFORMS := linux manylinux_2_35 manylinux_2_28 manylinux_2_17 manylinux2014
$(AARCH64)/site/.installed: requirements.txt dist/aarch64/.built-$(AARCH64_VERSION)
	rm -rf $(@D)
	mkdir -p $(AARCH64)
	grep -E '^(hypothesis|numpy|pytest)' requirements.txt >$(AARCH64)/requirements.txt
	$(BIN)/pip install -q --target $(@D) --only-binary=:all: \
	  --python-version $(AARCH64_VERSION) $(AARCH64_PLATFORMS:%=--platform %_aarch64) \
	  -r $(AARCH64)/requirements.txt \
	  "$$(ls dist/aarch64/mlx-*-cp$(subst .,,$(AARCH64_VERSION))-*.whl)[cpu]"
	touch $@
