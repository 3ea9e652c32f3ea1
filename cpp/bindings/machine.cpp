// SPDX-License-Identifier: BSD-3-Clause
// Threads, instruction sets, caches and the peak of this machine.
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"
#include "bindings/bindings.h"
#include "kernels/table.h"
#include "ops/convolution.h"

namespace convcore::bindings {
namespace {

std::vector<std::string> isa_names() {
  std::vector<std::string> names;
  for (const Isa isa : available_isas()) names.emplace_back(name_of(isa));
  return names;
}

void force_isa_by_name(const std::string& name) {
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::neon})
    if (name == name_of(isa)) return force_isa(isa);
  throw ValueError(message("force_isa", "must be portable, avx2, avx512 or neon, got '", name, "'"));
}

// Anything with __index__: NumPy's integers too.
void set_threads(const py::object& threads) {
  require<TypeError>(PyIndex_Check(threads.ptr()), "set_num_threads", "threads must be an int, got ",
                     Py_TYPE(threads.ptr())->tp_name);
  const Py_ssize_t count = PyNumber_AsSsize_t(threads.ptr(), nullptr);  // clipped to the type's range
  if (count == -1 && PyErr_Occurred()) throw py::error_already_set();
  constexpr Py_ssize_t kMin = std::numeric_limits<int>::min(), kMax = std::numeric_limits<int>::max();
  set_num_threads(static_cast<int>(std::clamp(count, kMin, kMax)));
}

py::dict cpu() {
  const CpuInfo& info = cpu_info();
  py::dict result;
  result["model"] = info.model;
  result["l1d"] = info.l1d;
  result["l2"] = info.l2;
  result["l3"] = info.l3;
  result["logical"] = info.logical;
  result["physical"] = info.physical;
  return result;
}

// The best of many short rounds: others' work on the machine can only make a round slower.
double peak_gflops(double seconds) {
  require(seconds > 0 && seconds <= 10, "peak_gflops", "seconds must be above 0 and at most 10, got ", seconds);
  const py::gil_scoped_release unlocked;
  using Clock = std::chrono::steady_clock;
  const auto fma_peak = table().tile.fma_peak;
  const auto since = [](Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); };
  constexpr double kRound = 1e-3;
  constexpr int64_t kMostSteps = int64_t{1} << 40;
  double best = 0;
  int64_t steps = 1024;
  for (const auto start = Clock::now(); best == 0 || since(start) < seconds;) {
    const auto round = Clock::now();
    const double operations = fma_peak(steps), elapsed = since(round);
    if (elapsed < kRound / 2 && steps < kMostSteps)
      steps *= 2;
    else
      best = std::max(best, operations / elapsed * 1e-9);
  }
  return best;
}

}  // namespace

void bind_machine(py::module_& m) {
  m.def("set_num_threads", &set_threads, py::arg("threads"));
  m.def("get_num_threads", &num_threads);
  m.def("num_threads_reason", &num_threads_reason);
  m.def("set_winograd", &set_winograd, py::arg("enabled").noconvert(),
        "Whether algorithm=\"auto\" may choose Winograd, in the whole process: for calls, and for programs compiled from "
        "now on. Its results differ from the exact ones by up to 2e-5 of the largest. Raises TypeError unless enabled is "
        "a bool.");
  m.def("get_winograd", &get_winograd, "What set_winograd was given last; True at first.");
  m.def("isa", [] { return name_of(table().isa); });
  m.def("available_isas", &isa_names);
  m.def("force_isa", &force_isa_by_name, py::arg("isa"));
  m.def("cpu", &cpu);
  m.def("peak_gflops", &peak_gflops, py::arg("seconds") = 0.05);
  m.def("allocation_count", &allocation_count);
}

}  // namespace convcore::bindings
