#!/usr/bin/env bash
# Runs the tests under sanitizers. BIN is the bin folder of the environment.
#
#   tests/sanitize.sh BIN          ThreadSanitizer, then the two others
#   tests/sanitize.sh BIN thread   ThreadSanitizer alone
#
# ThreadSanitizer: the tests of the pool of threads, with the kernels. They do
# not use libmlx, which is not instrumented and would cause false reports.
# Address and undefined-behaviour sanitizers: the C++ tests and the Python tests
# of selection. libmlx itself is not instrumented.
set -eu
cd "$(dirname "$0")/.."
bin=$1
stock=$PWD/build/stock
export PATH="$bin:$PATH"

configure() { # FOLDER SANITIZERS OPTION...
  folder=$1 sanitizers=$2
  shift 2
  cmake -G Ninja -S . -B "$folder" -DMLX_TOPK_SANITIZE="$sanitizers" \
    -DMLX_TOPK_TESTS=ON -DMLX_DIR="$stock/mlx/share/cmake/MLX" "$@" >/dev/null
}

# These tests use no types but the two that this option compiles the kernels for.
configure build/sanitize-thread thread -DMLX_TOPK_BINDINGS=OFF -DMLX_TOPK_FEW_TYPES=ON
cmake --build build/sanitize-thread --target thread_pool_tests
# Older ThreadSanitizers stop where Linux randomizes addresses by many bits, so
# that is turned off where it can be.
fixed_addresses="setarch $(uname -m) -R"
$fixed_addresses true 2>/dev/null || fixed_addresses=
$fixed_addresses build/sanitize-thread/thread_pool_tests
if [ "${2-}" = thread ]; then
  exit
fi

configure build/sanitize address,undefined -DPython_EXECUTABLE="$bin/python"
cmake --build build/sanitize
build/sanitize/selection_tests

# A copy of the installed package, in which instrumented libraries replace its own.
site=$PWD/build/sanitize/site
rm -rf "$site"
cp -r "$stock" "$site"
installed=$("$bin/python" -c 'import mlx.core, os; print(os.path.dirname(mlx.core.__file__))')
cp -r "$installed/." "$site/mlx/"
cmake --install build/sanitize --component wheel --prefix "$site/mlx" >/dev/null

# Metal's kernels are left out: AddressSanitizer does not support the emulator's
# fibers, and the emulator checks their memory accesses itself. The tests called
# metal_missing run Metal's host code. Leaks are not reported, since Python and
# MLX keep memory until the process ends.
LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0 MLX_TOPK_TESTING=$PWD/build/sanitize PYTHONPATH="$site" \
  HYPOTHESIS_PROFILE=quick \
  python -m pytest -q -n auto --maxprocesses 8 -k 'not metal or metal_missing' tests/test_topk.py tests/test_families.py \
  tests/test_gradients.py \
  tests/test_index_gradient.py tests/test_transforms.py tests/test_compile.py \
  tests/test_wrapped_functions.py tests/test_threads.py
