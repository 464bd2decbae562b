#include "common/training/run_directory.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ops/arange.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace altprop::training {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> Names(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The steps of the lines in `folder`'s metrics.jsonl; -1 for one that is torn.
std::vector<int64_t> Steps(const std::string& folder) {
  std::vector<int64_t> steps;
  std::ifstream file(folder + "/metrics.jsonl");
  for (std::string text; std::getline(file, text);) {
    const auto line = ParseMetricsJson(text);
    steps.push_back(line.ok() ? line->step : -1);
  }
  return steps;
}

class RunDirectoryTest : public testing::Test {
 protected:
  RunDirectoryTest()
      : root_(testing::TempDir() + "/" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }

  std::unique_ptr<RunDirectory> Create(const std::string& path,
                                       const std::string& resumed_from = "",
                                       int64_t resumed_step = 0) {
    auto run = RunDirectory::Create({path,
                                     "eqprop",
                                     "glyphs-784-512-10",
                                     flags_,
                                     resumed_from,
                                     resumed_step,
                                     {}});
    EXPECT_TRUE(run.ok()) << run.status();
    return *std::move(run);
  }

  static void LogSteps(RunDirectory& run, int64_t first, int64_t last) {
    for (int64_t step = first; step <= last; ++step) {
      const absl::Status status = run.Log(
          {"train", 1, step, {{"loss", 1.0 / static_cast<double>(step)}}});
      EXPECT_TRUE(status.ok()) << status;
    }
  }

  std::string root_;
  std::vector<std::pair<std::string, std::string>> flags_ = {
      {"T1", "30"}, {"run_dir", "x"}, {"resume", ""}};
};

TEST_F(RunDirectoryTest, HoldsItsFilesBeforeTheFirstStep) {
  const auto run = Create(root_ + "/a/b");
  const std::vector<std::string> names = Names(root_ + "/a/b");
  EXPECT_THAT(
      names, ElementsAre("environment.json", StartsWith("events.out.tfevents."),
                         "flags.txt", "metrics.jsonl"));
  EXPECT_EQ(run->File("checkpoint.pt"), root_ + "/a/b/checkpoint.pt");
  EXPECT_THAT(Contents(run->File("environment.json")), HasSubstr("\"torch\""));
}

TEST_F(RunDirectoryTest, IsNamedByMethodNameAndTimeWhereTheUserStands) {
  setenv("BUILD_WORKING_DIRECTORY", root_.c_str(), 1);
  const auto first = Create(""), second = Create("");
  unsetenv("BUILD_WORKING_DIRECTORY");
  const std::string parent = root_ + "/runs/eqprop/glyphs-784-512-10/";
  EXPECT_THAT(first->path(), StartsWith(parent));
  EXPECT_THAT(fs::path(first->path()).filename().string(),
              testing::MatchesRegex(
                  "[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2}"));
  EXPECT_NE(first->path(), second->path());  // also within one second
}

TEST_F(RunDirectoryTest, NamesAFolderItCannotMake) {
  std::ofstream(root_ + "/file") << "";
  for (const char* below : {"/file", "/file/run"}) {
    const auto run = RunDirectory::Create({root_ + below, "m", "n", {}, "", 0});
    ASSERT_FALSE(run.ok());
    EXPECT_EQ(
        run.status().message(),
        root_ + below + ": cannot make the run directory: Not a directory");
  }
}

TEST_F(RunDirectoryTest, WritesALineForEachMeasurement) {
  const auto run = Create(root_);
  ASSERT_TRUE(
      run->Log({"train", 1, 2, {{"loss", NAN}, {"accuracy", 0.5}}}).ok());
  ASSERT_TRUE(run->Log({"test", 1, 2, {{"loss", 0.25}}}).ok());
  const std::string text = Contents(run->File("metrics.jsonl"));
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  ASSERT_EQ(lines.size(), 3u);  // each ends with a newline
  EXPECT_THAT(
      lines[0],
      StartsWith(R"({"split":"train","epoch":1,"step":2,"wall_time":)"));
  EXPECT_THAT(lines[0], testing::EndsWith(R"(,"loss":null,"accuracy":0.5})"));
  EXPECT_THAT(lines[1], testing::EndsWith(R"(,"loss":0.25})"));
  EXPECT_EQ(run->lines().size(), 2u);
  EXPECT_GE(run->lines()[1].wall_time, run->lines()[0].wall_time);
}

TEST_F(RunDirectoryTest, MovesAnEarlierRunAside) {
  LogSteps(*Create(root_), 1, 3);
  std::ofstream(root_ + "/checkpoint.pt") << "weights";
  std::ofstream(root_ + "/notes.md") << "mine";
  LogSteps(*Create(root_), 1, 2);
  EXPECT_THAT(Steps(root_), ElementsAre(1, 2));
  const std::vector<std::string> names = Names(root_);
  ASSERT_EQ(names.size(), 6u);
  EXPECT_THAT(names[0], StartsWith("earlier-"));
  EXPECT_EQ(names[5], "notes.md");  // not a run's file
  const std::string earlier = root_ + "/" + names[0];
  EXPECT_THAT(Steps(earlier), ElementsAre(1, 2, 3));
  EXPECT_EQ(Contents(earlier + "/checkpoint.pt"), "weights");
}

TEST_F(RunDirectoryTest, MovesTheMethodsOwnFilesToo) {
  LogSteps(*Create(root_), 1, 3);
  for (const char* name : {"log.txt", "last-3.tar", "tar", "log.txt.mine"}) {
    std::ofstream(root_ + "/" + name) << name;
  }
  RunDirectory::Options options;
  options.path = root_;
  options.files = {"log.txt", "*.tar"};
  ASSERT_TRUE(RunDirectory::Create(options).ok());
  const std::vector<std::string> names = Names(root_);
  EXPECT_THAT(names, testing::IsSupersetOf({"log.txt.mine", "tar"}));
  EXPECT_THAT(names, testing::Not(testing::Contains("log.txt")));
  const std::string earlier = root_ + "/" + names[0];
  EXPECT_EQ(Contents(earlier + "/log.txt"), "log.txt");
  EXPECT_EQ(Contents(earlier + "/last-3.tar"), "last-3.tar");
}

TEST_F(RunDirectoryTest, ResumesInPlaceWithoutRepeatingALine) {
  LogSteps(*Create(root_), 1, 9);
  std::ofstream(root_ + "/metrics.jsonl", std::ios::app) << "{\"split\":\"tra";
  {
    const auto run = Create("", root_ + "/checkpoint.pt", 5);
    EXPECT_EQ(run->path(), root_);
    EXPECT_THAT(Steps(root_), ElementsAre(1, 2, 3, 4, 5));
    LogSteps(*run, 6, 8);
    EXPECT_EQ(run->lines().size(), 8u);
  }
  EXPECT_THAT(Steps(root_), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

// Killed after the lines of an epoch's end, before the checkpoint that follows
// them: the checkpoint of the same step, before them, is what is resumed.
TEST_F(RunDirectoryTest, DoesNotRepeatTheLinesOfTheResumedStep) {
  const MetricsLine train = {"train", 1, 5, {{"loss", 0.1}, {"phi", NAN}}};
  const MetricsLine test = {"test", 1, 5, {{"loss", 0.2}}};
  {
    const auto run = Create(root_);
    LogSteps(*run, 1, 5);
    ASSERT_TRUE(run->Log(train).ok());
    ASSERT_TRUE(run->Log(test).ok());
  }
  const auto run = Create("", root_ + "/checkpoint.pt", 5);
  ASSERT_TRUE(run->Log(train).ok());
  ASSERT_TRUE(run->Log(test).ok());
  LogSteps(*run, 6, 6);
  EXPECT_THAT(Steps(root_), ElementsAre(1, 2, 3, 4, 5, 5, 5, 6));
}

TEST_F(RunDirectoryTest, ResumesInPlaceByItsOwnNameToo) {
  fs::create_directories(root_ + "/run");
  LogSteps(*Create(root_ + "/run"), 1, 3);
  LogSteps(*Create(root_ + "/./run", root_ + "/run/checkpoint.pt", 2), 3, 3);
  EXPECT_THAT(Steps(root_ + "/run"), ElementsAre(1, 2, 3));
  EXPECT_THAT(Names(root_ + "/run"), Not(testing::Contains(StartsWith("ear"))));
}

TEST_F(RunDirectoryTest, ResumesElsewhereWithTheMetricsSoFar) {
  LogSteps(*Create(root_ + "/a"), 1, 6);
  LogSteps(*Create(root_ + "/b", root_ + "/a/checkpoint.pt", 4), 5, 5);
  EXPECT_THAT(Steps(root_ + "/a"), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(Steps(root_ + "/b"), ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(RunDirectoryTest, CountsTheTimeOfTrainingOverAResume) {
  fs::create_directories(root_);
  std::ofstream(root_ + "/metrics.jsonl")
      << MetricsJson({"train", 1, 5, {}, 1000}) << "\n";
  const auto run = Create("", root_ + "/checkpoint.pt", 5);
  LogSteps(*run, 6, 6);
  EXPECT_GE(run->lines().back().wall_time, 1000);
  EXPECT_LT(run->lines().back().wall_time, 1100);
}

TEST_F(RunDirectoryTest, DrawsAllThatWasLogged) {
  const auto run = Create(root_);
  LogSteps(*run, 1, 3);
  ASSERT_TRUE(run->LogHistogram("states/1", 1, at::arange(5)).ok());
  ASSERT_TRUE(run->LogHistogram("states/1", 2, at::arange(77)).ok());
  ASSERT_TRUE(
      run->WriteReport({"A title", "", RunState::kRunning, "", {}}).ok());
  const std::string html = Contents(run->File("report.html"));
  EXPECT_THAT(html, HasSubstr("<h1>A title</h1>"));
  EXPECT_THAT(html, HasSubstr("<figcaption>Loss</figcaption>"));
  EXPECT_THAT(html, HasSubstr("n <b>77</b>"));  // the last one of the tag
  EXPECT_THAT(html, Not(HasSubstr("n <b>5</b>")));
  EXPECT_THAT(html, HasSubstr("<th>T1</th><td>30</td>"));
  EXPECT_THAT(html, HasSubstr("<th>torch</th>"));
}

TEST_F(RunDirectoryTest, DrawsTheMethodsOwnChartsOnceEach) {
  const auto run = Create(root_);
  LogSteps(*run, 1, 1);
  for (const char* epoch : {"epoch one", "epoch two"}) {
    Chart chart;
    chart.title = "Convergence";
    chart.curves = {{epoch, 0, {{1, -1, ""}, {2, -3, ""}}}};
    run->SetChart(std::move(chart));
  }
  ASSERT_TRUE(run->WriteReport({"", "", RunState::kRunning, "", {}}).ok());
  const std::string html = Contents(run->File("report.html"));
  EXPECT_THAT(html, HasSubstr("<figcaption>Convergence</figcaption>"));
  EXPECT_THAT(html, HasSubstr("epoch two"));
  EXPECT_THAT(html, Not(HasSubstr("epoch one")));
}

TEST(RunFlagsText, RepeatsTheRunAndNotItsPlace) {
  EXPECT_EQ(RunFlagsText({{"T1", "30"}, {"run_dir", "x"}, {"save", "true"}}),
            "# The run again: --flagfile=THIS_FILE\n"
            "# --run_dir=x\n"
            "--T1=30\n"
            "--save=true\n");
}

}  // namespace
}  // namespace altprop::training
