// Copyright © 2026 the mlx-topk authors. MIT licence.

#include "mlx/backend/cpu/selection/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

#include "mlx/backend/cpu/selection/float_mode.h"
#include "mlx/environment.h"
#include "mlx/threadpool.h"
#include "mlx/topk_threads.h"

namespace mlx::core::cpu {

namespace {

constexpr int max_threads = 1024;

// Returns ``threads``, or throws an error that names the function or variable
// ``source`` and the value ``got`` from it.
int check_threads(
    const std::string& source,
    long threads,
    const std::string& got) {
  if (threads < 1 || threads > max_threads) {
    std::ostringstream msg;
    msg << "[" << source << "] the number of threads must be between 1 and "
        << max_threads << ", got " << got << ".";
    throw std::invalid_argument(msg.str());
  }
  return threads;
}

int parse_threads(const std::string& variable, const std::string& value) {
  char* end = nullptr;
  auto threads = std::strtol(value.c_str(), &end, 10);
  bool is_number = !value.empty() && *end == '\0';
  return check_threads(variable, is_number ? threads : 0, "\"" + value + "\"");
}

// Returns how many processors this process may run on.
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
      return parse_threads(variable->name, variable->value);
    }
    return processors();
  }();
  return threads;
}

// The number of BusyThreads, over all streams.
std::atomic<int64_t> busy_threads{0};

// How long a thread looks for something to come before it sleeps. To wake it
// takes some 50 microseconds, and a long row needs all threads several times.
constexpr std::chrono::microseconds patience{200};

// Waits until ``ready()``, or until patience has run out.
template <typename Ready>
void look_for(Ready&& ready) {
  auto end = std::chrono::steady_clock::now() + patience;
  while (!ready() && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
}

class Pool {
 public:
  // Lets ``helpers`` threads call ``work``, or fewer if the system refuses to
  // start as many.
  void start(int64_t helpers, const std::function<void()>& work) {
    std::lock_guard lock(mutex_);
    try {
      for (; size_ < helpers; ++size_) {
        threads_.resize(size_ + 1);
      }
    } catch (const std::system_error&) {
      // The system refused another thread: use those that exist.
    }
    works_.insert(works_.end(), std::min(size_, helpers), work);
    waiting_ = works_.size();
    for (; awake_ < works_.size(); ++awake_) {
      threads_.enqueue([this] { help(); });
    }
  }

 private:
  // Calls works of the queue until none has come for a while.
  void help() {
    std::unique_lock lock(mutex_);
    while (true) {
      if (works_.empty()) {
        lock.unlock();
        look_for([this] { return waiting_ > 0; });
        lock.lock();
      }
      --awake_;
      if (works_.empty()) {
        return;
      }
      auto work = std::move(works_.front());
      works_.pop_front();
      waiting_ = works_.size();
      lock.unlock();
      work();
      lock.lock();
      ++awake_;
    }
  }

  std::mutex mutex_;
  ThreadPool threads_{0};
  int64_t size_{0};
  std::deque<std::function<void()>> works_;
  // The size of ``works_``, to be read without the mutex.
  std::atomic<size_t> waiting_{0};
  // How many threads will soon look for a work.
  size_t awake_{0};
};

// Never destroyed, since a stream may still use it when the process exits.
Pool& pool() {
  static auto* pool = new Pool;
  return *pool;
}

// Parts that several threads take one by one. A shared_ptr owns this object,
// since a helper may look for a part after run_parts has returned.
struct SharedWork {
  const std::function<void(int64_t)>* part;
  int64_t parts;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::exception_ptr error;
  std::once_flag failed;

  // Takes parts and calls them until all are taken. The function ``*part``
  // belongs to the caller of run_parts and may be destroyed once every part is
  // done. So a thread uses ``*part`` only after it has taken a part.
  //
  // A helper is busy only while it has a part, and no more once the caller can
  // see that its last part is done. Otherwise the caller's next call of
  // run_parts could count it, and ask for no helper.
  void work(bool is_helper) {
    std::optional<BusyThread> busy;
    for (auto i = next++; i < parts;) {
      if (is_helper && !busy) {
        busy.emplace();
      }
      try {
        (*part)(i);
      } catch (...) {
        std::call_once(failed, [&] { error = std::current_exception(); });
      }
      i = next++;
      if (i >= parts) {
        busy.reset();
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
  // This thread is itself counted as busy.
  auto helpers = std::min(threads - busy_threads, parts - 1);
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
      // As in the calling thread: kernels turn these modes off.
      ExactDenormals exact;
      shared->work(true);
    });
  } catch (...) {
    // Queueing ran out of memory. Helpers that are already queued use ``part``,
    // so finish the work here before returning.
  }
  shared->work(false);
  look_for([&] { return shared->done == parts; });
  for (auto done = shared->done.load(); done < parts;
       done = shared->done.load()) {
    shared->done.wait(done);
  }
  // A helper may still own ``shared``, and must not be the one that frees the
  // exception: ThreadSanitizer, which does not see how the C++ library counts
  // its owners, would report that as a race with the caller that reads it.
  if (auto error = std::move(shared->error)) {
    std::rethrow_exception(std::move(error));
  }
}

BusyThread::BusyThread() {
  ++busy_threads;
}

BusyThread::~BusyThread() {
  --busy_threads;
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
