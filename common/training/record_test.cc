#include "common/training/record.h"

#include <memory>
#include <string>

#include "common/testing/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<Record> NewRecord(const std::string& name, bool top5,
                                  int64_t log_every) {
  RecordOptions options;
  options.directory.method = "method";
  options.directory.name = "name";
  options.title = "A method: a network on a data set";
  options.subtitle = "A paper";
  options.epochs = 2;
  options.batches = 3;
  options.top5 = top5;
  RunOptions run;
  run.run_dir = testing::NewFolder(name) + "/run";
  run.log_every = log_every;
  auto record = Record::Create(options, run, Position());
  EXPECT_TRUE(record.ok()) << record.status();
  return *std::move(record);
}

const Score kScore = {.loss_sum = 2, .correct = 1, .correct5 = 3, .samples = 4};

TEST(Record, WritesALineForEachEvaluation) {
  const auto record = NewRecord("epoch", /*top5=*/true, 0);
  Position at;
  at.step = 3;
  at.running = kScore;
  ASSERT_TRUE(record->Minibatch(at, kScore).ok());
  ASSERT_TRUE(record
                  ->Epoch(at, {{"learning_rate", 0.5}},
                          {{"val", kScore}, {"test", kScore}})
                  .ok());
  const std::string metrics = testing::ReadFile(record->File("metrics.jsonl"));
  EXPECT_THAT(metrics, HasSubstr("\"split\":\"train\",\"epoch\":1,\"step\":3"));
  EXPECT_THAT(metrics, HasSubstr("\"learning_rate\":0.5"));
  EXPECT_THAT(metrics, HasSubstr("\"split\":\"val\""));
  EXPECT_THAT(metrics, HasSubstr("\"split\":\"test\""));
  EXPECT_THAT(metrics,
              HasSubstr("\"loss\":0.5,\"accuracy\":0.25,\"accuracy5\":0.75"));
  EXPECT_THAT(metrics, Not(HasSubstr("train_epoch")));
}

TEST(Record, LogsMinibatchesWhereAsked) {
  const auto record = NewRecord("minibatch", /*top5=*/false, 2);
  Position at;
  for (at.step = 1; at.step <= 3; ++at.step) {
    ASSERT_TRUE(record->Minibatch(at, kScore, {{"window", 4}}).ok());
  }
  ASSERT_TRUE(record->Epoch(at, {}, {}).ok());
  const std::string metrics = testing::ReadFile(record->File("metrics.jsonl"));
  EXPECT_THAT(metrics, HasSubstr("\"split\":\"train\",\"epoch\":1,\"step\":2"));
  EXPECT_THAT(metrics, HasSubstr("\"window\":4"));
  EXPECT_THAT(metrics, Not(HasSubstr("\"step\":1,")));
  EXPECT_THAT(metrics, HasSubstr("\"split\":\"train_epoch\""));
  EXPECT_THAT(metrics, Not(HasSubstr("accuracy5")));
}

TEST(Record, DrawsTheReport) {
  const auto record = NewRecord("report", /*top5=*/false, 0);
  Position at;
  at.epoch = 1;
  ASSERT_TRUE(record->ReportEpoch(at).ok());
  const std::string page = testing::ReadFile(record->File("report.html"));
  EXPECT_THAT(page, HasSubstr("A method: a network on a data set"));
  EXPECT_THAT(page, HasSubstr("epoch 1 of 2"));
}

}  // namespace
}  // namespace altprop::training
