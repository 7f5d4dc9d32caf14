// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/cpu/selection/threads.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

#include "mlx/environment.h"
#include "mlx/threadpool.h"
#include "mlx/topk_threads.h"

namespace mlx::core::cpu {

namespace {

constexpr int max_threads = 1024;

int check_threads(
    const std::string& who,
    long threads,
    const std::string& got) {
  if (threads < 1 || threads > max_threads) {
    std::ostringstream msg;
    msg << "[" << who << "] the number of threads must be between 1 and "
        << max_threads << ", got " << got << ".";
    throw std::invalid_argument(msg.str());
  }
  return threads;
}

int threads_from(const std::string& variable, const std::string& value) {
  char* end = nullptr;
  auto threads = std::strtol(value.c_str(), &end, 10);
  bool whole = !value.empty() && *end == '\0';
  return check_threads(variable, whole ? threads : 0, "\"" + value + "\"");
}

int processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    return std::max(1, CPU_COUNT(&set));
  }
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

std::atomic<int>& threads_setting() {
  static std::atomic<int> threads = [] {
    if (auto variable = read_variable(Setting::threads)) {
      return threads_from(variable->name, variable->value);
    }
    return processors();
  }();
  return threads;
}

// How many threads are at work, on whatever stream.
std::atomic<int64_t> working{0};

class Pool {
 public:
  // As many helpers as there are and can be, if any.
  void start(int64_t helpers, const std::function<void()>& work) {
    std::lock_guard lock(mutex_);
    try {
      for (; size_ < helpers; ++size_) {
        threads_.resize(size_ + 1);
      }
    } catch (const std::system_error&) {
      // The system has no more threads for us: fewer help.
    }
    for (int64_t i = 0; i < std::min(size_, helpers); ++i) {
      threads_.enqueue(work);
    }
  }

 private:
  std::mutex mutex_;
  ThreadPool threads_{0};
  int64_t size_{0};
};

// Never destroyed: at exit a stream may still be at work.
Pool& pool() {
  static auto* threads = new Pool;
  return *threads;
}

struct SharedWork {
  const std::function<void(int64_t)>* part;
  int64_t parts;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::exception_ptr error;
  std::once_flag failed;

  // ``part`` is alive as long as a part is not done.
  void work() {
    for (auto i = next++; i < parts; i = next++) {
      try {
        (*part)(i);
      } catch (...) {
        std::call_once(failed, [&] { error = std::current_exception(); });
      }
      if (++done == parts) {
        done.notify_all();
      }
    }
  }
};

} // namespace

void run_parts(
    int64_t parts,
    int64_t threads,
    const std::function<void(int64_t)>& part) {
  // Others who are at work take their share of the threads.
  auto helpers = std::min(threads - working, parts - 1);
  if (helpers <= 0) {
    for (int64_t i = 0; i < parts; ++i) {
      part(i);
    }
    return;
  }
  auto shared = std::make_shared<SharedWork>();
  shared->part = &part;
  shared->parts = parts;
  try {
    pool().start(helpers, [shared] {
      AtWork here;
      shared->work();
    });
  } catch (...) {
    // No memory to ask with. Who has been asked uses ``part``: no way out yet.
  }
  shared->work();
  for (auto done = shared->done.load(); done < parts;
       done = shared->done.load()) {
    shared->done.wait(done);
  }
  if (shared->error) {
    std::rethrow_exception(shared->error);
  }
}

AtWork::AtWork() {
  ++working;
}

AtWork::~AtWork() {
  --working;
}

} // namespace mlx::core::cpu

namespace mlx::core::selection {

int threads() {
  return cpu::threads_setting();
}

void set_threads(int threads) {
  cpu::threads_setting() = cpu::check_threads(
      "set_selection_threads", threads, std::to_string(threads));
}

} // namespace mlx::core::selection
