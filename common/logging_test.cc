// LibTorch headers stand on both sides of ours: the macros must be glog's in
// either case.
// clang-format off
#include <ATen/core/Tensor.h>
#include <c10/util/Logging.h>
#include "common/logging.h"
#include <torch/library.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>
// clang-format on

#include <string>

namespace altprop {
namespace {

class Sink : public google::LogSink {
 public:
  Sink() { google::AddLogSink(this); }
  ~Sink() override { google::RemoveLogSink(this); }
  void send(google::LogSeverity severity, const char*, const char* file, int,
            const struct tm*, const char* message, size_t size) override {
    severity_ = severity;
    file_ = file;
    text_.assign(message, size);
  }

  google::LogSeverity severity_ = -1;
  std::string file_, text_;
};

TEST(Logging, GoesToGlog) {
  Sink sink;
  LOG(WARNING) << "beta = " << 0.5;
  EXPECT_EQ(sink.severity_, google::GLOG_WARNING);
  EXPECT_EQ(sink.text_, "beta = 0.5");
  EXPECT_EQ(sink.file_, "logging_test.cc");
  LOG_IF(INFO, false) << "not this";
  VLOG(3) << "nor this";
  EXPECT_EQ(sink.text_, "beta = 0.5");
}

TEST(Logging, HasGlogsOwnMacros) {
  Sink sink;
  for (int i = 0; i < 4; ++i) {
    LOG_EVERY_N(INFO, 3) << i;
  }
  EXPECT_EQ(sink.text_, "3");
}

void FailEquality() { CHECK_EQ(1 + 1, 3) << "sum"; }
void FailCondition() { CHECK(false) << "never"; }

TEST(LoggingDeathTest, CheckPrintsBothValues) {
  EXPECT_DEATH(FailEquality(), "Check failed: 1 \\+ 1 == 3 \\(2 vs. 3\\)");
  EXPECT_DEATH(FailCondition(), "Check failed: false never");
}

TEST(Logging, LeavesTorchsChecksAlone) {
  EXPECT_THROW(TORCH_CHECK(false, "no"), c10::Error);
}

}  // namespace
}  // namespace altprop
