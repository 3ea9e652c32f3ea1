// SPDX-License-Identifier: BSD-3-Clause
// An op with its settings, which remembers the plans of its last input shapes: small calls would spend more time
// planning than computing. Python keeps one per settings in use. Guarded by the GIL.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/table.h"
#include "ops/op.h"

namespace convcore::bindings {

struct Plan {
  std::shared_ptr<const Op> op;
  std::vector<TensorSpec> outputs;
};

class PlannedOp {
 public:
  // Throws ValueError for an unknown kind or wrong attributes.
  PlannedOp(std::string kind, Attributes attributes);

  const std::string& kind() const { return kind_; }
  // Throws what Op::plan() throws.
  const Plan& plan(const std::vector<TensorSpec>& inputs, bool training);

 private:
  // All that a plan depends on.
  struct Key {
    std::vector<TensorSpec> inputs;
    bool training, winograd;
    int threads;
    Isa isa;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key;
    Plan plan;
  };

  std::string kind_;
  Attributes attributes_;
  std::unique_ptr<Op> fresh_;   // made to check the attributes, for the first plan; or null
  std::vector<Entry> entries_;  // last used last
};

}  // namespace convcore::bindings
