#!/usr/bin/env bash
# Builds the C++ with the address and undefined-behaviour sanitizers, and runs
# the C++ tests and the Python tests of selection on it. libmlx itself is not
# instrumented. Usage: tests/sanitize.sh BIN, the folder of the environment.
set -eu
cd "$(dirname "$0")/.."
bin=$1
stock=$PWD/build/stock
export PATH="$bin:$PATH"

cmake -G Ninja -S . -B build/sanitize -DMLX_TOPK_SANITIZE=ON \
  -DMLX_TOPK_TESTS=ON -DMLX_DIR="$stock/mlx/share/cmake/MLX" \
  -DPython_EXECUTABLE="$bin/python" >/dev/null
cmake --build build/sanitize
build/sanitize/selection_tests

# The same Python as the wheel's, with the instrumented libraries in it.
site=$PWD/build/sanitize/site
rm -rf "$site"
cp -r "$stock" "$site"
installed=$("$bin/python" -c 'import mlx.core, os; print(os.path.dirname(mlx.core.__file__))')
cp -r "$installed/." "$site/mlx/"
cmake --install build/sanitize --component wheel --prefix "$site/mlx" >/dev/null

# Metal's kernels are left out: the emulator's fibers are not for this sanitizer,
# and it looks at their memory itself. Its host code is in metal_missing.
# Leaks are not looked for: Python and MLX keep things until the process ends.
LD_PRELOAD="$(c++ -print-file-name=libasan.so) $(c++ -print-file-name=libubsan.so)" \
  ASAN_OPTIONS=detect_leaks=0 MLX_TOPK_TESTING=$PWD/build/sanitize PYTHONPATH="$site" \
  python -m pytest -q -k 'not metal or metal_missing' tests/test_topk.py tests/test_families.py \
  tests/test_gradients.py \
  tests/test_index_gradient.py tests/test_transforms.py tests/test_threads.py
