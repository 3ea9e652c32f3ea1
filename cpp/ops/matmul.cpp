// SPDX-License-Identifier: BSD-3-Clause
#include "ops/matmul.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/memory.h"
#include "base/parallel.h"
#include "ops/checks.h"
#include "ops/gemm.h"
#include "ops/strided.h"

namespace convcore {
namespace {

constexpr std::string_view kKind = "matmul";
constexpr int64_t kFewRows = 8;
constexpr double kMostProducts = 1LL << 52;  // what follows from sizes below this fits 64 bits
constexpr size_t kBatchDims = kMaxRank - 2;
using Batch = std::array<int64_t, kBatchDims>;  // sizes, or strides

// Matrices of a batch; a stride of 0 repeats one.
struct Matrices {
  float* data = nullptr;
  Batch batch{};
  int64_t row = 0, col = 0;

  Matrices transposed() const { return {data, batch, col, row}; }
  Matrix at(int64_t offset) const { return {data + offset, row, col}; }
};

// C = A B for each matrix of a batch, summed over the dimensions of the batch that C lacks. transposed: C has unit rows
// rather than unit columns.
class Products {
 public:
  Products(int64_t m, int64_t n, int64_t k, const Batch& batch, const Batch& of_c, bool transposed)
      : gemm_(transposed ? n : m, transposed ? m : n, k),
        rows_(transposed ? n : m),
        cost_(2 * m * n * k),
        transposed_(transposed) {
    for (size_t d = 0; d < kBatchDims; ++d) {
      kept_[d] = of_c[d] == 1 ? 1 : batch[d];
      summed_[d] = of_c[d] == 1 ? batch[d] : 1;
      units_ *= kept_[d], terms_ *= summed_[d];
    }
    const int64_t threads = num_threads();
    slots_ = units_ >= threads ? threads : 1;  // else threads share a product
  }

  size_t packed_bytes() const { return gemm_.packed_bytes(); }
  size_t bytes() const { return static_cast<size_t>(slots_) * slot_bytes(); }
  void pack(const Matrices& b, std::byte* packed) const { gemm_.pack(b.at(0), packed); }

  // packed: what pack() made of B, which is then the same for all, and the products not transposed; or null.
  void run(Matrices a, Matrices b, Matrices c, const std::byte* packed, std::byte* workspace) const {
    if (transposed_) {
      std::swap(a, b);
      a = a.transposed(), b = b.transposed(), c = c.transposed();
    }
    parallel_tasks(units_, slots_, cost_ * terms_, [&](int64_t slot, int64_t unit) {
      std::byte* own = workspace + static_cast<size_t>(slot) * slot_bytes();
      for (int64_t term = 0; term < terms_; ++term) {
        const std::byte* panels = packed;
        if (!packed) {
          gemm_.pack(b.at(offset(unit, term, b.batch)), own);
          panels = own;
        }
        gemm_.run(a.at(offset(unit, term, a.batch)), panels, c.data + offset(unit, 0, c.batch), c.row, rows_, term > 0,
                  own + gemm_.packed_bytes());
      }
    });
  }

 private:
  size_t slot_bytes() const { return gemm_.packed_bytes() + gemm_.workspace_bytes(); }

  int64_t offset(int64_t unit, int64_t term, const Batch& strides) const {
    int64_t at = 0;
    for (size_t d = kBatchDims; d-- > 0;) {
      at += (unit % kept_[d] + term % summed_[d]) * strides[d];
      unit /= kept_[d], term /= summed_[d];
    }
    return at;
  }

  Gemm gemm_;
  int64_t rows_, cost_, units_ = 1, terms_ = 1, slots_ = 1;
  bool transposed_;
  Batch kept_{}, summed_{};
};

class MatmulOp : public Op {
 public:
  explicit MatmulOp(const Attributes& a) : dense_(a.flag(kKind, "dense", false)) {}

  std::string_view kind() const override { return kKind; }
  bool is_dense(int input) const override { return input == 1 && dense_; }
  OpNeeds needs() const override { return needs_; }
  int64_t flops() const override { return 2 * pixels_ * m_ * n_ * k_; }
  int64_t backward_flops(bool wants_input) const override { return (wants_input ? 2 : 1) * flops(); }

  std::vector<TensorSpec> plan(std::span<const TensorSpec> inputs, bool training) override {
    check_count(kind(), inputs, 2, 2);
    check_tensor(kind(), "a", inputs[0]);
    check_tensor(kind(), "b", inputs[1]);
    read_shapes(inputs[0].shape, inputs[1].shape);
    needs_ = {};
    forward_.reset(), backward_a_.reset(), backward_b_.reset();
    if (y_.size() == 0) return {{y_, DType::f32}};

    forward_.emplace(m_, n_, k_, batch_, batch_, turns(0, m_));
    packs_ = dense_ && !training;
    if (packs_)
      needs_.packed = turns(0, m_) ? static_cast<size_t>(b_.size()) * sizeof(float) : forward_->packed_bytes();
    needs_.forward = 3 * part_bytes() + forward_->bytes();
    if (training) {
      backward_a_.emplace(m_, k_, n_, batch_, of_a_, turns(0, m_));
      backward_b_.emplace(k_, n_, m_, batch_, of_b_, turns(1, k_));
      needs_.backward = 3 * part_bytes() + std::max(backward_a_->bytes(), backward_b_->bytes());
    }
    return {{y_, DType::f32}};
  }

  // b as panels; or b transposed, whose rows are then read where they are.
  void pack(const OpCall& call) const override {
    const float* b = call.inputs[1].f32();
    if (!turns(0, m_)) return forward_->pack(matrices(1, call.inputs[1], nullptr), call.packed);
    Walk<2> walk;
    walk.add(n_, {k_, 1});
    walk.add(k_, {1, n_});
    copy_strided(walk, b, reinterpret_cast<float*>(call.packed));
  }

  void forward(const OpCall& call) const override {
    if (!forward_) return;
    const Matrices a = given(0, call.inputs[0], call), y = matrices(2, call.outputs[0], part(call, 2));
    if (packs_ && turns(0, m_)) {
      const Matrices b{reinterpret_cast<float*>(call.packed), {}, 1, k_};
      forward_->run(a, b, y, nullptr, part(call, 3));
    } else {
      forward_->run(a, given(1, call.inputs[1], call), y, packs_ ? call.packed : nullptr, part(call, 3));
    }
    put(2, call, call.outputs[0]);
  }

  void backward(const OpCall& call) const override {
    const Tensor &dy_tensor = call.grad_outputs[0], &da = call.grad_inputs[0], &db = call.grad_inputs[1];
    if (!forward_) {
      if (da) clear(da, false);
      if (db) clear(db, dense_);
      return;
    }
    const Matrices dy = given(2, dy_tensor, call);
    if (da && a_.size() > 0) {
      const Matrices b = given(1, call.inputs[1], call);
      backward_a_->run(dy, b.transposed(), matrices(0, da, part(call, 0)), nullptr, part(call, 3));
      put(0, call, da);
    }
    if (db && b_.size() > 0) {
      const Matrices a = given(0, call.inputs[0], call);
      backward_b_->run(a.transposed(), dy, matrices(1, db, part(call, 1)), nullptr, part(call, 3));
      put(1, call, db);
    }
  }

 private:
  void read_shapes(const Shape& a, const Shape& b) {
    const int rank = a.rank();
    const bool ranks_fit = rank >= 2 && b.rank() >= 2 && (dense_ ? b.rank() <= rank : b.rank() == rank);
    bool fits = ranks_fit && a[rank - 1] == b[b.rank() - 2];
    Shape full_b;
    for (int d = 0; ranks_fit && d < rank; ++d) full_b.push_back(d < rank - b.rank() ? 1 : b[d - rank + b.rank()]);
    Shape y = a;
    batch_.fill(1), of_a_.fill(1), of_b_.fill(1);
    pixels_ = 1;
    for (int d = 0; fits && d < rank - 2; ++d) {
      fits = a[d] == full_b[d] || a[d] == 1 || full_b[d] == 1;
      if (a[d] == 1) y[d] = full_b[d];
      const auto i = static_cast<size_t>(d);
      batch_[i] = y[d], of_a_[i] = a[d], of_b_[i] = full_b[d];
    }
    require<ShapeError>(fits, kKind,
                        "a must be (..., M, K) and b (..., K, N), of one rank from 2 to 6, axes in front "
                        "must match or be 1, got ",
                        a, " and ", b);
    y[rank - 1] = full_b[rank - 1];
    a_ = a, b_ = full_b, y_ = y;
    const double products = static_cast<double>(y.size(kKind)) * static_cast<double>(a[rank - 1]);
    require<ShapeError>(products < kMostProducts, kKind, "the product of ", a, " and ", b, " is too large");
    for (int d = 0; d < rank - 2; ++d) pixels_ *= y[d];
    m_ = a[rank - 2], k_ = a[rank - 1], n_ = y[rank - 1];
    // One matrix b for all: the batch is more rows, where memory has them at one distance.
    joins_ = of_b_ == Batch{1, 1, 1, 1} && (rank > 3 || m_ == 1);
    if (joins_) m_ *= pixels_, pixels_ = 1, batch_.fill(1), of_a_.fill(1);
  }

  // i: 0 for a, 1 for b, 2 for y.
  const Shape& shape(int i) const { return i == 0 ? a_ : i == 1 ? b_ : y_; }
  bool is_rows(int i) const { return i == 1 && dense_; }
  // A result of rank 3 with these rows is computed transposed; else of few rows.
  bool turns(int i, int64_t rows) const { return a_.rank() == 3 && !is_rows(i) && !joins_ && rows >= kFewRows; }
  bool gathers(int i, bool writes) const {
    if (is_rows(i)) return false;
    return a_.rank() == 4 || (a_.rank() == 3 && writes && !turns(i, i == 1 ? k_ : m_));
  }
  size_t part_bytes() const {
    const int64_t most = std::max({a_.size(), b_.size(), y_.size()});
    const bool any = gathers(0, true) || gathers(1, true) || gathers(2, true);
    return any ? align_up(static_cast<size_t>(most) * sizeof(float)) : 0;
  }
  std::byte* part(const OpCall& call, size_t i) const { return call.workspace + i * part_bytes(); }

  // Of a copy in rows: those of one pixel of a tensor of rank 4 lie together there, as in the tensor.
  Strides in_rows(int i) const {
    const Shape& s = shape(i);
    if (s.rank() != 4) return row_major(s);
    return {s[2] * s[1] * s[3], s[3], s[1] * s[3], 1};
  }

  // Of a tensor, or of its copy in rows.
  Matrices matrices(int i, const Tensor& tensor, std::byte* copy) const {
    const bool gathered = copy && gathers(i, true);
    return matrices_at(i, gathered ? reinterpret_cast<float*>(copy) : tensor.f32(),
                       gathered     ? in_rows(i)
                       : is_rows(i) ? row_major(b_)
                                    : strides_of(tensor),
                       gathered);
  }
  Matrices matrices_at(int i, float* data, const Strides& strides, bool gathered) const {
    const auto rank = static_cast<size_t>(a_.rank());
    Matrices m{data, {}, strides[rank - 2], strides[rank - 1]};
    if (joins_ && i != 1) {
      if (rank == 3 && !gathered) m.row = strides[0];
      if (rank == 4) m.row = strides[1];
      return m;
    }
    for (size_t d = 0; d + 2 < rank; ++d) m.batch[d] = shape(i)[static_cast<int>(d)] == 1 ? 0 : strides[d];
    return m;
  }

  // An operand that is read: where it lies, or gathered.
  Matrices given(int i, const Tensor& tensor, const OpCall& call) const {
    if (!gathers(i, false)) return matrices_at(i, tensor.f32(), is_rows(i) ? row_major(b_) : strides_of(tensor), false);
    move(i, reinterpret_cast<float*>(part(call, static_cast<size_t>(i))), tensor, false);
    return matrices(i, tensor, part(call, static_cast<size_t>(i)));
  }
  // A result that was computed in rows goes to its tensor.
  void put(int i, const OpCall& call, const Tensor& tensor) const {
    if (gathers(i, true)) move(i, reinterpret_cast<float*>(part(call, static_cast<size_t>(i))), tensor, true);
  }
  void move(int i, float* rows, const Tensor& tensor, bool back) const {
    const Strides copy = in_rows(i), strides = strides_of(tensor);
    Walk<2> walk;
    for (int d = 0; d < shape(i).rank(); ++d) {
      const int64_t row = copy[static_cast<size_t>(d)], own = strides[static_cast<size_t>(d)];
      walk.add(shape(i)[d], back ? std::array{own, row} : std::array{row, own});
    }
    back ? copy_strided(walk, rows, tensor.f32()) : copy_strided(walk, tensor.f32(), rows);
  }
  static void clear(const Tensor& grad, bool dense) {
    if (dense || grad.packed())
      std::fill_n(grad.f32(), grad.shape.size(), 0.0f);
    else
      for (int64_t p = 0; p < grad.pixels(); ++p) std::fill_n(grad.f32() + p * grad.pitch, grad.c(), 0.0f);
  }

  bool dense_, packs_ = false, joins_ = false;
  Shape a_, b_, y_;
  int64_t m_ = 0, n_ = 0, k_ = 0, pixels_ = 1;  // pixels: of the batch
  Batch batch_{}, of_a_{}, of_b_{};
  OpNeeds needs_;
  std::optional<Products> forward_, backward_a_, backward_b_;
};

}  // namespace

std::unique_ptr<Op> make_matmul(const Attributes& attributes) {
  attributes.check_known(kKind, {"dense"});
  return std::make_unique<MatmulOp>(attributes);
}

}  // namespace convcore
