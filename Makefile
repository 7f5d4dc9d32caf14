# make demo    build the wheel, install it, run the example
# make test    build and install what changed, run every test
# make check   format, lint, smoke test
# make clients mlx-lm, unchanged: its model types trained, a mixture fine-tuned
# make route   ten ways of teaching a router, compared: under two minutes
# make bench   against stock MLX, torch, NumPy and one pass over memory
# make core-suite MLX_TESTS=...  MLX's own Python tests, on the fork and on stock
# make wheel-macos  the wheel for macOS, on Linux, into dist/macos

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find mlx overlay python -type f) CMakeLists.txt setup.py \
  pyproject.toml README.md LICENSE
TESTS ?= tests

# make WERROR=OFF where a newer compiler has new warnings.
WERROR ?= ON
export MLX_TOPK_WERROR := $(WERROR)

UPSTREAM := $(shell sed -n 's/^UPSTREAM = "\(.*\)"/\1/p' python/mlx/_version.py)

CMAKE_TESTS := PATH="$(abspath $(BIN)):$$PATH" cmake -G Ninja -S . \
  -DMLX_DIR=$(abspath build/stock)/mlx/share/cmake/MLX -DMLX_TOPK_TESTS=ON \
  -DMLX_TOPK_BINDINGS=OFF -DMLX_TOPK_WERROR=$(WERROR) \
  -DPython_EXECUTABLE=$(abspath $(BIN))/python

# The macOS wheel is for the version of this interpreter.
MACOS_PYTHON ?= $(PYTHON)
MACOS_VERSION := $(shell $(MACOS_PYTHON) -c \
  'import sys; print("%d.%d" % sys.version_info[:2])')
MACOS := build/macos-$(MACOS_VERSION)

ifeq ($(shell uname -s),Linux)
EXTRA := [cpu]
endif

# The last mlx-lm before most of its models stopped the gradient at their indices.
OLDER_MLX_LM := 0.31.3

.PHONY: demo hooks test check bench clients clients-bench route referees sanitize core-suite \
  wheel wheel-macos format clean

demo: $(VENV)/.installed
	$(BIN)/python examples/moe_routing.py
	@echo; echo "The same file on stock MLX:"
	@PYTHONPATH=build/stock $(BIN)/python examples/moe_routing.py || true

# The C++ tests, and the module with the tests' hooks.
hooks: $(VENV)/.installed
	$(CMAKE_TESTS) -B build/tests >/dev/null
	$(BIN)/cmake --build build/tests

test: hooks
	build/tests/selection_tests
	$(BIN)/python -m pytest $(TESTS)

# torch and jax weigh gigabytes, so they are not part of make test.
referees: $(VENV)/.installed $(VENV)/.referees
	$(BIN)/python -m pytest tests/referees

# mlx-lm brings transformers, 200 MB.
clients: $(VENV)/.installed $(VENV)/.clients build/older-mlx-lm/.installed
	$(BIN)/python -m pytest tests/clients
	$(BIN)/python examples/finetune_moe.py

clients-bench: $(VENV)/.installed $(VENV)/.clients
	$(BIN)/python benchmarks/mlx_lm_client.py

route: $(VENV)/.installed
	$(BIN)/python examples/learn_to_route.py --out build/routing

bench: $(VENV)/.installed $(VENV)/.bench
	$(BIN)/python benchmarks/run.py --threads 1 $(BENCH)
	$(BIN)/python benchmarks/run.py --threads $$(nproc) --sets table,sorts $(BENCH)

sanitize: $(VENV)/.installed
	tests/sanitize.sh $(abspath $(BIN))

# MLX_TESTS is python/tests of a checkout of MLX.
core-suite: build/.wheel
	$(BIN)/python -m upstream.core_suite "$(MLX_TESTS)" --extra "$(EXTRA)" \
	  --wheel dist/mlx-*.whl --stock $(UPSTREAM)

wheel: build/.wheel

wheel-macos: $(MACOS)/.wheel

check: hooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	git ls-files '*.h' '*.cpp' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/python -m pytest -q -m smoke tests

format: $(VENV)/.tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	git ls-files '*.h' '*.cpp' | xargs $(BIN)/clang-format -i

clean:
	rm -rf build dist $(VENV)

# ---- what they need, each made once and again when its sources change --------

$(VENV)/.tools: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -r requirements.txt
	touch $@

$(VENV)/.referees $(VENV)/.bench $(VENV)/.macos $(VENV)/.clients: $(VENV)/.%: \
    requirements-%.txt $(VENV)/.tools
	$(BIN)/pip install -q -r $<
	touch $@

# The stock MLX: what the wheel is built from, and what tests compare with.
build/stock/.installed: python/mlx/_version.py $(VENV)/.tools
	rm -rf build/stock
	$(BIN)/pip install -q --target build/stock "mlx$(EXTRA)==$(UPSTREAM)"
	touch $@

build/older-mlx-lm/.installed: Makefile $(VENV)/.tools
	rm -rf $(@D)
	$(BIN)/pip install -q --no-deps --target $(@D) mlx-lm==$(OLDER_MLX_LM)
	touch $@

build/.wheel: $(SOURCES) build/stock/.installed
	rm -f dist/*.whl
	PYTHONPATH=build/stock PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pip wheel -q \
	  . --no-build-isolation --no-deps -w dist
	touch $@

$(VENV)/.installed: build/.wheel $(VENV)/.tools
	$(BIN)/pip install -q "$$(ls dist/mlx-*.whl)$(EXTRA)"
	$(BIN)/pip install -q --force-reinstall --no-deps dist/mlx-*.whl
	touch $@

# MLX for macOS: what the macOS wheel is built from and compared with.
$(MACOS)/.installed: python/mlx/_version.py $(VENV)/.tools
	rm -rf $(MACOS)
	$(BIN)/pip install -q --target $(MACOS)/stock --no-deps --only-binary=:all: \
	  --platform macosx_14_0_arm64 --python-version $(MACOS_VERSION) \
	  "mlx==$(UPSTREAM)" "mlx-metal==$(UPSTREAM)"
	touch $@

# Nothing that a Mac would refuse is left in dist.
$(MACOS)/.wheel: $(SOURCES) $(shell find macos -type f ! -name '*.pyc') \
    $(MACOS)/.installed $(VENV)/.macos
	rm -rf $(MACOS)/dist
	MLX_TOPK_MACOS_PYTHON=$(MACOS_PYTHON) PYTHONPATH=$(MACOS)/stock \
	  PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pip wheel -q . \
	  --no-build-isolation --no-deps -w $(MACOS)/dist
	$(BIN)/python macos/check.py $(MACOS)/dist/mlx-*.whl $(MACOS)/stock/mlx \
	  $(MACOS_PYTHON)
	$(MACOS_PYTHON) -c 'import sys; print(sys.executable)' >$(MACOS)/python
	mkdir -p dist/macos
	mv $(MACOS)/dist/mlx-*.whl dist/macos
	touch $@
