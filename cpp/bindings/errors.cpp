// SPDX-License-Identifier: BSD-3-Clause
#include "base/error.h"
#include "bindings/bindings.h"

namespace convcore::bindings {

void bind_errors(py::module_& m) {
  // Translators are tried newest first, so the derived ShapeError comes before ValueError.
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const TypeError& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    } catch (const ValueError& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    }
  });
  py::register_exception<ShapeError>(m, "ShapeError", PyExc_ValueError);
}

}  // namespace convcore::bindings
