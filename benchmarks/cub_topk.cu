// Times the batched top-k of CUB, NVIDIA's library of GPU algorithms, on one
// shape. benchmarks/gpu.py compiles this file and runs it:
//
//     nvcc -std=c++17 -O3 -DTOPK_ROWS=8192 -DTOPK_SIZE=160 -DTOPK_K=8
//         -DTOPK_ELEMENT=float ...
//
// Prints microseconds per call. The exit status is 1 if a result is wrong. CUB
// 3.3 leaves open which of equal elements it chooses, in which order it writes
// the k elements, and whether two runs give the same result. It takes rows that
// one block of threads can hold, and does not compile for longer ones.

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <cub/device/device_batched_topk.cuh>
#include <cuda/iterator>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

namespace {

constexpr long rows = TOPK_ROWS;
constexpr int size = TOPK_SIZE;
constexpr int k = TOPK_K;
using Element = TOPK_ELEMENT;

constexpr int calls = 50;
constexpr int runs = 20;

void check(cudaError_t error) {
  if (error != cudaSuccess) {
    std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
    std::exit(1);
  }
}

template <typename T>
T* allocate(size_t count) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, count * sizeof(T)));
  return static_cast<T*>(memory);
}

/** Row i of an array whose rows have ``length`` elements. */
template <typename T>
struct RowOf {
  T* data;
  long length;

  __host__ __device__ T* operator()(long i) const {
    return data + i * length;
  }
};

/** The indices of a row, for each row. */
struct IndicesOf {
  __host__ __device__ auto operator()(long) const {
    return cuda::counting_iterator<unsigned>(0);
  }
};

template <typename T>
auto rows_of(T* data, long length) {
  return cuda::make_transform_iterator(
      cuda::counting_iterator<long>(0), RowOf<T>{data, length});
}

/** Returns the least microseconds per call of several runs. */
template <typename Launch>
float time(Launch&& launch, cudaStream_t stream) {
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  for (int i = 0; i < calls; ++i) {
    launch();
  }
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&executable, graph, 0));
  float best = 0;
  for (int run = 0; run < runs; ++run) {
    check(cudaEventRecord(begin, stream));
    check(cudaGraphLaunch(executable, stream));
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end));
    auto microseconds = milliseconds * 1000 / calls;
    best = run == 0 ? microseconds : std::min(best, microseconds);
  }
  return best;
}

/** Returns whether some rows have k different indices of the k best elements.
 */
bool is_right(const std::vector<Element>& in, const unsigned* found) {
  std::vector<unsigned> all(size);
  std::vector<unsigned> chosen(k);
  for (long row = 0; row < std::min(rows, 64l); ++row) {
    auto at = [&](unsigned index) {
      return static_cast<float>(in[row * size + index]);
    };
    auto is_better = [&](unsigned a, unsigned b) {
      return at(a) > at(b) || (at(a) == at(b) && a < b);
    };
    std::iota(all.begin(), all.end(), 0u);
    std::partial_sort(all.begin(), all.begin() + k, all.end(), is_better);
    auto bytes = k * sizeof(unsigned);
    auto from = found + row * k;
    check(cudaMemcpy(chosen.data(), from, bytes, cudaMemcpyDeviceToHost));
    std::sort(chosen.begin(), chosen.end(), is_better);
    for (int i = 0; i < k; ++i) {
      bool repeats = i > 0 && chosen[i] == chosen[i - 1];
      if (repeats || at(chosen[i]) != at(all[i])) {
        return false;
      }
    }
  }
  return true;
}

} // namespace

int main() {
  std::vector<Element> in(rows * size);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  for (auto& element : in) {
    element = static_cast<Element>(normal(generator));
  }
  auto data = allocate<Element>(in.size());
  auto values = allocate<Element>(rows * k);
  auto indices = allocate<unsigned>(rows * k);
  auto bytes_of_input = in.size() * sizeof(Element);
  check(cudaMemcpy(data, in.data(), bytes_of_input, cudaMemcpyHostToDevice));
  cudaStream_t stream;
  check(cudaStreamCreate(&stream));

  namespace execution = cuda::execution;
  auto environment = cuda::std::execution::env{
      execution::require(
          execution::determinism::not_guaranteed,
          execution::tie_break::unspecified,
          execution::output_ordering::unsorted),
      cuda::stream_ref{stream}};
  auto all_indices = cuda::make_transform_iterator(
      cuda::counting_iterator<long>(0), IndicesOf{});
  void* memory = nullptr;
  size_t bytes = 0;
  auto launch = [&] {
    check(
        cub::DeviceBatchedTopK::MaxPairs(
            memory,
            bytes,
            rows_of(data, size),
            rows_of(values, k),
            all_indices,
            rows_of(indices, k),
            cuda::args::immediate{size, cuda::args::bounds<1, size>()},
            cuda::args::immediate{k, cuda::args::bounds<1, k>()},
            cuda::args::immediate{rows},
            environment));
  };
  // The first call only says how much memory the others need.
  launch();
  memory = allocate<char>(bytes + 1);
  launch();
  check(cudaStreamSynchronize(stream));
  if (!is_right(in, indices)) {
    std::fprintf(stderr, "CUB selects other elements\n");
    return 1;
  }
  std::printf("%.2f\n", time(launch, stream));
  return 0;
}
