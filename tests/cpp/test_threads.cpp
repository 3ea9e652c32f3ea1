// SPDX-License-Identifier: BSD-3-Clause
#include "base/threads.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/lock.h"
#include "base/parallel.h"

namespace convcore {
namespace {

namespace fs = std::filesystem;

// A cgroup file system in a folder of its own.
class FakeCgroups {
 public:
  FakeCgroups() : root_(fs::temp_directory_path() / ("convcore_cgroups_" + std::to_string(getpid()))) {
    fs::create_directories(root_);
  }
  ~FakeCgroups() { fs::remove_all(root_); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  double limit(const std::string& path) const { return cgroup_cpu_limit(root_.string(), path); }

 private:
  fs::path root_;
};

// What body() says in a forked child, which is killed if it hangs.
template <class Body>
bool child_says(Body&& body) {
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    _exit(body() ? 0 : 1);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool lock_throws(ForkMutex& mutex) {
  try {
    const std::lock_guard lock(mutex);
    return false;
  } catch (const ValueError& e) {
    return std::string(e.what()) == "held: at the fork";
  }
}

}  // namespace

TEST_CASE("cgroup v2: the smallest quota of the group and its ancestors") {
  FakeCgroups cgroups;
  CHECK(cgroups.limit("/a/b") == 0);
  cgroups.write("a/b/cpu.max", "max 100000\n");
  CHECK(cgroups.limit("/a/b") == 0);
  cgroups.write("a/cpu.max", "250000 100000\n");
  CHECK(cgroups.limit("/a/b") == doctest::Approx(2.5));
  cgroups.write("a/b/cpu.max", "400000 100000\n");
  CHECK(cgroups.limit("/a/b") == doctest::Approx(2.5));
  cgroups.write("cpu.max", "100000 100000\n");
  CHECK(cgroups.limit("/a/b") == doctest::Approx(1));
  CHECK(cgroups.limit("/") == doctest::Approx(1));
  CHECK(cgroups.limit("/elsewhere") == doctest::Approx(1));
}

TEST_CASE("cgroup v1: quota over period") {
  FakeCgroups cgroups;
  cgroups.write("docker/x/cpu.cfs_quota_us", "-1\n");
  cgroups.write("docker/x/cpu.cfs_period_us", "100000\n");
  CHECK(cgroups.limit("/docker/x") == 0);
  cgroups.write("docker/x/cpu.cfs_quota_us", "150000\n");
  CHECK(cgroups.limit("/docker/x") == doctest::Approx(1.5));
}

TEST_CASE("cgroup files with rubbish in them are no limit") {
  FakeCgroups cgroups;
  for (const char* text : {"", "rubbish", "100000", "100000 0", "-5 100000", "0 100000"}) {
    cgroups.write("a/cpu.max", text);
    CAPTURE(text);
    CHECK(cgroups.limit("/a") == 0);
  }
}

TEST_CASE("set_num_threads takes 1 to 1024 and says so") {
  const int before = num_threads();
  set_num_threads(2);
  CHECK(num_threads() == 2);
  CHECK_FALSE(num_threads_reason().empty());
  CHECK_THROWS_AS(set_num_threads(0), ValueError);
  CHECK_THROWS_AS(set_num_threads(1025), ValueError);
  CHECK(num_threads() == 2);
  set_num_threads(before);
}

TEST_CASE("parallel_for covers its range once, in multiples of the grain") {
  const int before = num_threads();
  for (int threads : {1, 2, 3}) {
    set_num_threads(threads);
    for (int64_t count : {0, 1, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 64}) {
        std::string hits(static_cast<size_t>(count), '\0');
        bool aligned = true;
        parallel_for(count, grain, kParallelThreshold, [&](int64_t begin, int64_t end) {
          if (begin % grain != 0) aligned = false;
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        CHECK(hits == std::string(static_cast<size_t>(count), '\1'));
        CHECK(aligned);
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE("parallel_tasks runs each task once, and a slot one task at a time") {
  const int before = num_threads();
  for (int threads : {1, 2, 5}) {
    set_num_threads(threads);
    for (int64_t tasks : {0, 1, 3, 64, 1000})
      for (int64_t slots : {1, 2, 7, 100}) {
        std::vector<std::atomic<int>> seen(static_cast<size_t>(tasks)), busy(static_cast<size_t>(slots));
        std::atomic<int> overlaps{0};
        parallel_tasks(tasks, slots, kParallelThreshold, [&](int64_t slot, int64_t task) {
          overlaps += busy[static_cast<size_t>(slot)]++;
          ++seen[static_cast<size_t>(task)];
          --busy[static_cast<size_t>(slot)];
        });
        CHECK(overlaps == 0);
        CHECK(std::all_of(seen.begin(), seen.end(), [](const std::atomic<int>& count) { return count == 1; }));
      }
  }
  set_num_threads(before);
}

TEST_CASE("a ForkMutex lets one thread in at a time") {
  ForkMutex mutex("unused");
  int64_t count = 0;
  const auto work = [&] {
    for (int i = 0; i < 20000; ++i) {
      const std::lock_guard lock(mutex);
      ++count;
    }
  };
  std::thread first(work), second(work), third(work);
  first.join();
  second.join();
  third.join();
  CHECK(count == 60000);
}

TEST_CASE("a ForkMutex held by a lost thread throws in the child, or is taken over") {
  ForkMutex held("held: at the fork"), inherited("unused"), open("unused");
  std::atomic<int> stage{0};
  std::thread holder([&] {
    const std::lock_guard lock(held), other(inherited);
    stage = 1;
    stage.notify_one();
    stage.wait(1);
  });
  stage.wait(0);
  CHECK(child_says([&] {
    const bool refused = lock_throws(held) && lock_throws(held);
    const bool taken = inherited.take_over();
    inherited.unlock();
    const bool usual = !inherited.take_over() && !open.take_over();
    inherited.unlock();
    open.unlock();
    return refused && taken && usual && child_says([&] { return lock_throws(held) && !open.take_over(); });
  }));
  stage = 2;
  stage.notify_one();
  holder.join();
  CHECK_FALSE(lock_throws(held));
}

TEST_CASE("FlushDenormals flushes while it lives") {
  const volatile float tiny = 1e-40f;
  CHECK(tiny * 0.5f != 0);
  {
    const FlushDenormals flush;
    CHECK(tiny * 0.5f == 0);
  }
  CHECK(tiny * 0.5f != 0);
}

}  // namespace convcore
