// SPDX-License-Identifier: BSD-3-Clause
// Table of contents of `convcore._core`; python/convcore/_core.pyi documents it.
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace convcore::bindings;
  m.doc() = "The compiled core of convcore. Private: use `convcore`.";
  m.attr("__version__") = CONVCORE_VERSION;
  bind_errors(m);
  bind_ops(m);
  bind_graph(m);
  bind_program(m);
  bind_machine(m);
}
