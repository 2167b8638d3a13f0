// An ideal device, and the plainest loop that can drive it.
//
// A call waits exactly `service_ns`, without CPU, after `hold_ns` of CPU such as an interpreter needs to issue a
// call. The device comes as a Python callable (it holds the interpreter's lock for `hold_ns`, never while it
// waits) and as a torch operator. `drive` is the limit: one POSIX thread per worker and nothing but the device.

#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <vector>

#include <torch/extension.h>
#include <torch/library.h>

namespace {

struct Device {
  int64_t service_ns, hold_ns;
};

int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

void burn(int64_t duration_ns) {
  for (const int64_t end = now_ns() + duration_ns; now_ns() < end;) {
  }
}

void wait(int64_t duration_ns) {
  thread_local const int sharp_timer = prctl(PR_SET_TIMERSLACK, 1);
  (void)sharp_timer;
  const int64_t end = now_ns() + duration_ns;
  const timespec until{end / 1'000'000'000, end % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

// The device as a Python callable.

PyObject* call(PyObject* self, PyObject*) {
  const auto* device = static_cast<Device*>(PyCapsule_GetPointer(self, nullptr));
  if (device->hold_ns) burn(device->hold_ns);
  Py_BEGIN_ALLOW_THREADS;
  wait(device->service_ns);
  Py_END_ALLOW_THREADS;
  Py_RETURN_NONE;
}

PyMethodDef call_definition{"device", call, METH_NOARGS, "Take so long."};

void free_device(PyObject* capsule) {
  delete static_cast<Device*>(PyCapsule_GetPointer(capsule, nullptr));
}

py::object device(int64_t service_ns, int64_t hold_ns) {
  auto self =
      py::reinterpret_steal<py::object>(PyCapsule_New(new Device{service_ns, hold_ns}, nullptr, free_device));
  return py::reinterpret_steal<py::object>(PyCFunction_New(&call_definition, self.ptr()));
}

// The limit.

struct Gate {
  explicit Gate(int64_t expected) : missing(expected) {}
  std::atomic<int64_t> missing;
  void arrive() { --missing; }
  bool open() const { return missing <= 0; }
};

struct Worker {
  Device device;
  int64_t warmup_calls, calls;
  Gate *warm, *done;
  int64_t* stamps;
  pthread_t thread{};

  void call() const {
    if (device.hold_ns) burn(device.hold_ns);
    wait(device.service_ns);
  }

  // The phases of a worker of benchlib.loadgen: every measured call runs beside a full load.
  void run() const {
    for (int64_t i = 0; i < warmup_calls; ++i) call();
    warm->arrive();
    while (!warm->open()) call();
    stamps[0] = now_ns();
    for (int64_t k = 1; k <= calls; ++k) {
      call();
      stamps[k] = now_ns();
    }
    done->arrive();
    while (!done->open()) call();
  }
};

void* run_worker(void* worker) {
  static_cast<Worker*>(worker)->run();
  return nullptr;
}

// Stamps in ns, shape (workers, calls + 1).
at::Tensor drive(int64_t workers, int64_t service_ns, int64_t hold_ns, int64_t calls, int64_t warmup_calls) {
  auto stamps = at::zeros({workers, calls + 1}, at::kLong);
  Gate warm(workers), done(workers);
  std::vector<Worker> crew;
  for (int64_t w = 0; w < workers; ++w) {
    int64_t* row = stamps.data_ptr<int64_t>() + w * (calls + 1);
    crew.push_back({{service_ns, hold_ns}, warmup_calls, calls, &warm, &done, row});
  }
  py::gil_scoped_release no_gil;
  for (auto& worker : crew) TORCH_CHECK(!pthread_create(&worker.thread, nullptr, run_worker, &worker));
  for (auto& worker : crew) pthread_join(worker.thread, nullptr);
  return stamps;
}

at::Tensor wait_operator(const at::Tensor& inputs, int64_t service_ns) {
  wait(service_ns);
  return inputs;
}

}  // namespace

TORCH_LIBRARY(fidelity, m) {
  m.def("wait(Tensor(a) inputs, int service_ns) -> Tensor(a)", &wait_operator);
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("device", &device, "The ideal device as a callable without arguments.");
  m.def("drive", &drive, "The limit: one POSIX thread per worker.");
}
