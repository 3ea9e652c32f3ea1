// SPDX-License-Identifier: BSD-3-Clause
// Table of contents of `convcore._core`; python/convcore/_core.pyi documents it.
#include "bindings/bindings.h"

// Graphs and the accessors of optimizers count on the GIL, so the module does not declare to do without it.
PYBIND11_MODULE(_core, m) {
  using namespace convcore::bindings;
  m.doc() = "The compiled core of convcore. Private: use `convcore`.";
  m.attr("__version__") = CONVCORE_VERSION;
  bind_errors(m);
  bind_ops(m);
  bind_graph(m);
  bind_program(m);
  bind_machine(m);
}
