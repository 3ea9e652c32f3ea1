// SPDX-License-Identifier: BSD-3-Clause
// All of convcore's public C++ interface. Ops one by one: ops/op.h; networks: graph/graph.h, graph/program.h.
#pragma once

#include "base/cpu.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/tensor.h"
#include "base/threads.h"
#include "graph/graph.h"
#include "graph/optimizer.h"
#include "graph/program.h"
#include "ops/attributes.h"
#include "ops/op.h"
