#include "eqprop/gradient_check_report.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/full_like.h"
#include "ATen/ops/rand.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/models/init.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

using altprop::testing::Exists;
using altprop::testing::NewFolder;
using altprop::testing::ReadFile;
using altprop::testing::WriteFile;
using training::LoadCheckpoint;
using training::Value;

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

class GradientCheckReportTest : public ::testing::Test {
 protected:
  GradientCheckReportTest() : plus_(Check(0.01)), minus_(Check(-0.01)) {
    page_.header.title = "Gradient check: MLP 6-5-3";
    page_.header.state = training::RunState::kFinished;
    page_.facts = {{"Check", {{"T1", "40"}, {"T2", "8"}, {"beta", "0.01"}}}};
  }

  static GradientCheck Check(double beta) {
    const RandomProblem p =
        MakeProblem({6, 5, 3}, 4, Activation::kMysig, at::kDouble, 3);
    GradientCheckOptions options;
    options.t1 = 40;
    options.t2 = 8;
    options.beta_2 = beta;
    return CheckGradient(p.network, p.input, p.target, options);
  }

  // Every entry of the file `name` by its key.
  Value Load(const std::string& name) const {
    const auto root = LoadCheckpoint(absl::StrCat(folder_, "/", name));
    EXPECT_TRUE(root.ok()) << root.status();
    return root.ok() ? *root : Value();
  }

  const GradientCheck plus_;
  const GradientCheck minus_;
  GradientCheckPage page_;
  const std::string folder_ = NewFolder("check");
};

TEST_F(GradientCheckReportTest, FilesHoldEveryRow) {
  ASSERT_TRUE(WriteGradientCheck(folder_, plus_, &minus_, page_).ok());
  const Value bptt = Load("gducheck_bptt.pt"), ep = Load("gducheck_ep.pt"),
              ep_minus = Load("gducheck_ep_minus.pt");
  for (const Value* file : {&bptt, &ep, &ep_minus}) {
    ASSERT_NE(file->dict(), nullptr);
    EXPECT_EQ(file->dict()->size(), plus_.rows.size());
  }
  for (size_t i = 0; i < plus_.rows.size(); ++i) {
    const std::string& key = plus_.rows[i].key;
    EXPECT_TRUE(bptt.GetTensor(key).value().equal(plus_.rows[i].bptt)) << key;
    EXPECT_TRUE(ep.GetTensor(key).value().equal(plus_.rows[i].ep)) << key;
    EXPECT_TRUE(ep_minus.GetTensor(key).value().equal(minus_.rows[i].ep))
        << key;
  }
}

TEST_F(GradientCheckReportTest, EstimatesAreThoseOfTheWeights) {
  ASSERT_TRUE(WriteGradientCheck(folder_, plus_, &minus_, page_).ok());
  const Value estimates = Load("estimates.pt");
  ASSERT_NE(estimates.dict(), nullptr);
  EXPECT_EQ(estimates.dict()->size(), 6);  // three of each of two weights
  for (const char* key : {"synapses.0.weight", "synapses.1.weight"}) {
    const size_t row = key[9] == '0' ? 0 : 2;
    const auto expect = [&](const std::string& name, const at::Tensor& terms) {
      EXPECT_TRUE(estimates.GetTensor(absl::StrCat(name, ".", key))
                      .value()
                      .equal(IntegratedEstimate(terms, page_.semantics)))
          << name << key;
    };
    expect("bptt", plus_.rows[row].bptt);
    expect("ep", plus_.rows[row].ep);
    expect("ep_minus", minus_.rows[row].ep);
  }
}

TEST_F(GradientCheckReportTest, PageHasATableAPlotPerRowAndBars) {
  ASSERT_TRUE(WriteGradientCheck(folder_, plus_, &minus_, page_).ok());
  const std::string html = ReadFile(folder_ + "/report.html");
  EXPECT_EQ(html, RenderGradientCheck(plus_, &minus_, page_));
  for (const GradientCheckRow& row : plus_.rows) {
    EXPECT_EQ(CountOf(html, absl::StrCat("<tr><td>", row.key, "</td>")), 1)
        << row.key;
    EXPECT_EQ(CountOf(html, absl::StrCat("<figcaption>", row.key)), 1)
        << row.key;
  }
  EXPECT_EQ(CountOf(html, "neurons_0, corrected"), 1);
  EXPECT_EQ(CountOf(html, "class=\"bar\""), 2);
  // Of three elements: one solid curve, one of each sign, one mean.
  EXPECT_EQ(CountOf(html, "class=\"curve\""), 3 * plus_.rows.size());
  EXPECT_EQ(CountOf(html, "class=\"curve dotted\""), 6 * plus_.rows.size());
  EXPECT_EQ(CountOf(html, "class=\"curve dashed\""), 3 * plus_.rows.size());
  EXPECT_TRUE(absl::StrContains(html, "<th>T2</th><td>8</td>"));
  EXPECT_FALSE(absl::StrContains(html, "nan"));
  EXPECT_FALSE(absl::StrContains(html, "<script"));
}

TEST_F(GradientCheckReportTest, WithOneSignThereAreNoBarsAndNoMinusFile) {
  ASSERT_TRUE(WriteGradientCheck(folder_, plus_, nullptr, page_).ok());
  EXPECT_FALSE(Exists(folder_ + "/gducheck_ep_minus.pt"));
  EXPECT_EQ(Load("estimates.pt").dict()->size(), 4);
  const std::string html = ReadFile(folder_ + "/report.html");
  EXPECT_EQ(CountOf(html, "class=\"bar\""), 0);
  EXPECT_EQ(CountOf(html, "class=\"curve dotted\""), 3 * plus_.rows.size());
  EXPECT_EQ(CountOf(html, "class=\"curve dashed\""), 0);
}

TEST_F(GradientCheckReportTest, SeedDrawsTheElements) {
  const std::string first = RenderGradientCheck(plus_, nullptr, page_);
  EXPECT_EQ(first, RenderGradientCheck(plus_, nullptr, page_));
  page_.seed = 1;
  EXPECT_NE(first, RenderGradientCheck(plus_, nullptr, page_));
}

TEST_F(GradientCheckReportTest, VectorFieldsHaveBarsOfBothWeights) {
  at::Generator generator = models::SeededGenerator(0);
  const Network network =
      MakeNetwork(Convolutional(Model::kVfCnn, Activation::kMysig, 8, {1, 2, 3},
                                {3, 3}, {1, 1}, {1, 1}, "mm", {3}, false),
                  std::nullopt, generator);
  const Clamped input = Clamp(network, at::rand({2, 1, 8, 8}, generator));
  GradientCheckOptions options;
  options.t1 = 10;
  options.t2 = 3;
  options.beta_2 = 0.1;
  const GradientCheck check =
      CheckGradient(network, input,
                    OneHot(Vector({0, 2}).to(at::kLong), 3, input.x), options);
  const std::string html = RenderGradientCheck(check, &check, page_);
  EXPECT_EQ(CountOf(html, "class=\"bar\""), 5);
  EXPECT_EQ(CountOf(html, ">B 3</text>"), 1);
}

TEST_F(GradientCheckReportTest, AFileOfAnEarlierCheckIsRemoved) {
  ASSERT_TRUE(WriteGradientCheck(folder_, plus_, &minus_, page_).ok());
  ASSERT_TRUE(WriteGradientCheck(folder_, plus_, nullptr, page_).ok());
  EXPECT_FALSE(Exists(folder_ + "/gducheck_ep_minus.pt"));
}

// A readout's sums can be zero, and a diverged network has numbers that are
// none; the page says so.
TEST_F(GradientCheckReportTest, NumbersThatAreNoneAreNamedSo) {
  GradientCheck broken = Check(0.01);
  broken.rows[0].ep = at::full_like(broken.rows[0].ep, NAN);
  broken.rows[1].bptt.zero_();
  const std::string html = RenderGradientCheck(broken, nullptr, page_);
  EXPECT_TRUE(absl::StrContains(html, "<td>n/a</td>"));
  EXPECT_FALSE(absl::StrContains(html, "nan"));
}

TEST_F(GradientCheckReportTest, FolderIsMade) {
  const std::string below = folder_ + "/a/b";
  ASSERT_TRUE(WriteGradientCheck(below, plus_, nullptr, page_).ok());
  EXPECT_TRUE(Exists(below + "/report.html"));
}

TEST_F(GradientCheckReportTest, ErrorsNameThePath) {
  const std::string file = folder_ + "/file";
  WriteFile(file, "");
  const absl::Status status = WriteGradientCheck(file, plus_, nullptr, page_);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(absl::StartsWith(status.message(), file)) << status;
}

}  // namespace
}  // namespace altprop::eqprop
