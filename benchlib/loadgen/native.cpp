// A worker's closed loop without the interpreter: the same board, clock and phases as worker.py.
//
// Called from an ordinary Python thread, it gives the interpreter's lock back until the worker has finished.

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/python/pybind_utils.h>
#include <torch/library.h>

namespace {

using Cell = std::atomic<int64_t>;
static_assert(sizeof(Cell) == sizeof(int64_t), "the board's cells are plain 64-bit integers");

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

int64_t read(const int64_t* cell) {
  return reinterpret_cast<const Cell*>(cell)->load(std::memory_order_relaxed);
}

void write(int64_t* cell, int64_t value) {
  reinterpret_cast<Cell*>(cell)->store(value, std::memory_order_seq_cst);
}

void arrive(int64_t* arrivals, int64_t workers, int64_t worker, int64_t* gate) {
  write(arrivals + worker, 1);
  for (int64_t w = 0; w < workers; ++w) {
    if (reinterpret_cast<Cell*>(arrivals + w)->load(std::memory_order_seq_cst) == 0) return;
  }
  write(gate, 1);
}

}  // namespace

// Everything after the start instant: warm up, measure, keep busy. Returns when the done gate is open.
void run_worker(py::object replica, std::vector<at::Tensor> example, std::vector<int64_t> addresses,
                int64_t workers, int64_t worker, int64_t warmup_batches, int64_t ring) {
  auto module = torch::jit::as_module(replica);
  if (!module) throw std::invalid_argument("the native loop drives TorchScript modules only");
  auto forward = module->get_method("forward");
  std::vector<int64_t*> at_;
  for (auto address : addresses) at_.push_back(reinterpret_cast<int64_t*>(address));
  int64_t *hold = at_[0], *warm_gate = at_[1], *done_gate = at_[2], *warm = at_[3], *done = at_[4],
          *target = at_[5], *stamps = at_[6], *count = at_[7], *ends = at_[8];

  py::gil_scoped_release no_gil;
  std::vector<c10::IValue> inputs(example.begin(), example.end());
  auto call = [&] {
    std::vector<c10::IValue> stack(inputs);
    forward(std::move(stack));
  };

  for (int64_t called = 0; !read(warm_gate);) {
    call();
    write(ends + called % ring, now_ns());
    write(count, ++called);
    if (called != warmup_batches) continue;
    if (read(hold)) {
      write(warm + worker, 1);  // the coordinator opens the gate
    } else {
      arrive(warm, workers, worker, warm_gate);
    }
  }

  int64_t k = 0;
  write(stamps, now_ns());
  while (k < read(target)) {
    call();
    write(stamps + ++k, now_ns());
  }
  arrive(done, workers, worker, done_gate);
  while (!read(done_gate)) call();
}

// An ideal device that TorchScript can call: it takes so long and no CPU. See ceiling.py.
at::Tensor idle(const at::Tensor& inputs, int64_t duration_ns) {
  thread_local const int sharp_timer = prctl(PR_SET_TIMERSLACK, 1);
  (void)sharp_timer;
  const int64_t end = now_ns() + duration_ns;
  const timespec until{end / 1'000'000'000, end % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
  return inputs;
}

// The open loop of serving.py: serve leg after leg of scheduled arrivals. Returns when the legs are over.
void run_open_loop_worker(py::object replica, std::vector<at::Tensor> example, std::vector<int64_t> addresses,
                          int64_t workers, int64_t worker, int64_t warmup_batches) {
  auto module = torch::jit::as_module(replica);
  if (!module) throw std::invalid_argument("the native loop drives TorchScript modules only");
  auto forward = module->get_method("forward");
  std::vector<int64_t*> at_;
  for (auto address : addresses) at_.push_back(reinterpret_cast<int64_t*>(address));
  int64_t *stop = at_[0], *warm_gate = at_[1], *done_gate = at_[2], *warm = at_[3], *done = at_[4],
          *next = at_[5], *current_leg = at_[6], *arrivals = at_[7], *left = at_[8], *scheduled = at_[9],
          *start = at_[10], *end = at_[11], *by = at_[12];
  constexpr int64_t over = -1, leg_poll_ns = 1'000'000, longest_nap_ns = 50'000'000;

  py::gil_scoped_release no_gil;
  std::vector<c10::IValue> inputs(example.begin(), example.end());
  auto call = [&] {
    std::vector<c10::IValue> stack(inputs);
    forward(std::move(stack));
  };
  auto sleep_until = [](int64_t ns) {
    const timespec until{ns / 1'000'000'000, ns % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  };

  for (int64_t i = 0; i < warmup_batches && !read(warm_gate); ++i) call();
  arrive(warm, workers, worker, warm_gate);
  while (!read(warm_gate)) call();

  for (int64_t leg = 0; !read(stop);) {
    write(left, leg);
    while (read(current_leg) == leg && !read(stop)) sleep_until(now_ns() + leg_poll_ns);
    leg = reinterpret_cast<const Cell*>(current_leg)->load(std::memory_order_acquire);
    if (leg == over) break;
    while (!read(stop)) {
      const int64_t i = reinterpret_cast<Cell*>(next)->fetch_add(1);
      if (i >= *arrivals) break;
      int64_t now = now_ns();
      for (; now < scheduled[i] && !read(stop); now = now_ns()) {
        sleep_until(std::min(scheduled[i], now + longest_nap_ns));
      }
      if (read(stop)) break;
      write(by + i, worker);
      write(start + i, now);
      call();
      write(end + i, now_ns());
    }
  }
  arrive(done, workers, worker, done_gate);
}

TORCH_LIBRARY(benchlib, m) {
  m.def("idle(Tensor(a) inputs, int duration_ns) -> Tensor(a)", &idle);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("run_worker", &run_worker, "Drive one TorchScript replica without holding the interpreter's lock.");
  m.def("run_open_loop_worker", &run_open_loop_worker, "The same for scheduled arrivals.");
}
