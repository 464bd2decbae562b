// Schedules, learning rates and layer orders: recordings of the authors'
// program, and cases worked out by hand.

#include "iterbin/schedule.h"

#include <map>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/empty.h"
#include "ATen/ops/equal.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/models/init.h"
#include "gtest/gtest.h"
#include "iterbin/orders.h"
#include "iterbin/test_util.h"

namespace altprop::iterbin {
namespace {

const Network& NetworkOf(const std::string& family) {
  static auto* cache = new std::map<std::string, Network>;
  const auto found = cache->find(family);
  if (found != cache->end()) return found->second;
  return cache
      ->emplace(family, MakeNamed(family == "mlp3" ? "300" : family,
                                  models::SeededGenerator(0)))
      .first->second;
}

std::vector<int64_t> Positions(const Network& network,
                               const LayerOrder& order) {
  std::vector<int64_t> positions;
  for (const int64_t layer : order) {
    positions.push_back(network.layers[layer].position);
  }
  return positions;
}

std::vector<int64_t> Integers(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(),
          flat.const_data_ptr<int64_t>() + flat.numel()};
}

TEST(Orders, EveryPublishedFileFollowsFromItsRule) {
  const Golden golden("schedules.pt");
  int files = 0;
  for (const std::string& family : OrderFamilies()) {
    const Network& network = NetworkOf(family);
    for (const std::string& tag : PublishedTags(family)) {
      const std::string file = OrderFileName(family, tag);
      const LayerOrder order = PublishedOrder(family, tag);
      ASSERT_TRUE(golden.Has("order/" + file)) << file;
      EXPECT_EQ(Positions(network, order),
                Integers(golden.Get("order/" + file)))
          << file;
      const auto read =
          ParseOrder(OrderFileText(network, order), file, network);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(*read, order);
      ++files;
    }
  }
  EXPECT_EQ(files, 80);
  for (const std::string& key : golden.Keys()) {
    if (absl::StartsWith(key, "order/")) --files;
  }
  EXPECT_EQ(files, 0);
}

// "flagsA/vgg5_descend_P3_rev1": a row per epoch, two beyond the last switch.
TEST(Schedule, FlagsEqualTheAuthorsProgram) {
  const Golden golden("schedules.pt");
  int tables = 0;
  for (const std::string& key : golden.Keys()) {
    if (!absl::StartsWith(key, "flags")) continue;
    const std::vector<std::string> parts =
        absl::StrSplit(key.substr(key.find('/') + 1), '_');
    ASSERT_EQ(parts.size(), 4u);
    LayerOrder order = PublishedOrder(parts[0], parts[1]);
    int64_t epochs_per_layer = 0;
    ASSERT_TRUE(absl::SimpleAtoi(parts[2].substr(1), &epochs_per_layer));
    if (parts[3] == "rev1") order = Reversed(order);
    const at::Tensor expected = golden.Get(key);
    for (int64_t epoch = 0; epoch < expected.size(0); ++epoch) {
      const Flags flags = ScheduledFlags(order, epoch, epochs_per_layer);
      EXPECT_EQ(std::vector<int64_t>(flags.begin(), flags.end()),
                Integers(expected[epoch]))
          << key << " epoch " << epoch;
    }
    ++tables;
  }
  EXPECT_EQ(tables, 68);
}

TEST(Schedule, RatesEqualTheAuthorsProgram) {
  const Golden golden("schedules.pt");
  int schedules = 0;
  for (const std::string& key : golden.Keys()) {
    const bool family_a = absl::StartsWith(key, "lrA/");
    if (!family_a && !absl::StartsWith(key, "lrB/")) continue;
    // "lr0.1_m1000-1100_g0.1"
    const std::vector<std::string> parts = absl::StrSplit(key.substr(4), '_');
    double base = 0;
    ASSERT_TRUE(absl::SimpleAtod(parts[0].substr(2), &base));
    std::vector<int64_t> milestones;
    for (const auto text : absl::StrSplit(parts[1].substr(1), '-')) {
      ASSERT_TRUE(absl::SimpleAtoi(text, &milestones.emplace_back()));
    }
    const at::Tensor expected = golden.Get(key);
    for (int64_t i = 0; i < expected.size(0); ++i) {
      const double want = expected[i].item<double>();
      const double rate = family_a ? MultiStepRate(base, milestones, 0.1, i + 1)
                                   : PowerRate(base, milestones, i);
      EXPECT_NEAR(rate, want, 1e-15 * want) << key << " " << i;
    }
    ++schedules;
  }
  EXPECT_EQ(schedules, 6);
}

TEST(Schedule, WorkedCases) {
  // VGG-5, layers 5, 4, 1, 3, 2, P = 150.
  const LayerOrder ascend = PublishedOrder("vgg5", "ascend");
  EXPECT_EQ(ScheduledFlags(ascend, 149, 150), (Flags{0, 0, 0, 0, 1}));
  EXPECT_EQ(ScheduledFlags(ascend, 150, 150), (Flags{0, 0, 0, 1, 1}));
  EXPECT_EQ(ScheduledFlags(ascend, 299, 150), (Flags{0, 0, 0, 1, 1}));
  EXPECT_EQ(ScheduledFlags(ascend, 600, 150), Flags(5, true));
  EXPECT_FALSE(PastTheEnd(5, 749, 150));
  EXPECT_TRUE(PastTheEnd(5, 750, 150));
  // P at least as large as the number of epochs: one layer throughout.
  for (int64_t k = 0; k < 150; ++k) EXPECT_EQ(BinaryLayers(3, k, 150), 1);
  // 0.1 by repeated products, 0.01 by a power.
  EXPECT_EQ(MultiStepRate(0.1, {1000, 1100}, 0.1, 999), 0.1);
  EXPECT_EQ(MultiStepRate(0.1, {1000, 1100}, 0.1, 1000), 0.010000000000000002);
  EXPECT_EQ(MultiStepRate(0.1, {1000, 1100}, 0.1, 1100), 0.0010000000000000002);
  EXPECT_EQ(PowerRate(0.01, {42, 57}, 57), 0.00010000000000000002);
  // Milestone 0 counts from the first epoch on.
  EXPECT_DOUBLE_EQ(MultiStepRate(1, {0, 3}, 0.5, 1), 0.5);
  EXPECT_DOUBLE_EQ(MultiStepRate(1, {0, 3}, 0.5, 3), 0.25);
  // A milestone twice is gamma squared at once.
  EXPECT_DOUBLE_EQ(MultiStepRate(1, {3, 3}, 0.5, 3), 0.25);
  EXPECT_DOUBLE_EQ(MultiStepRate(1, {3, 3}, 0.5, 2), 1);
}

TEST(Orders, DescendIsAscendReversed) {
  for (const char* family : {"vgg5", "vgg9", "resnet20", "resnet21"}) {
    EXPECT_EQ(PublishedOrder(family, "descend"),
              Reversed(PublishedOrder(family, "ascend")));
    EXPECT_EQ(PublishedOrder(family, "reverse"),
              Reversed(PublishedOrder(family, "forward")));
  }
  EXPECT_TRUE(PublishedOrder("resnet21", "random").empty());
  EXPECT_TRUE(PublishedOrder("mlp3", "122").empty());
  EXPECT_TRUE(PublishedOrder("mlp3", "ascend").empty());
  EXPECT_TRUE(PublishedOrder("vgg5", "6").empty());
}

// Accuracy falling: the least sensitive layer first; ties in forward order.
TEST(Orders, SensitivityRanksByAccuracy) {
  EXPECT_EQ(AscendingSensitivity({0.5, 0.9, 0.7, 0.9}),
            (LayerOrder{1, 3, 2, 0}));
}

TEST(Orders, ReadsNumbersOfLayersToo) {
  const Network& network = NetworkOf("vgg5");
  const auto order = ParseOrder("[5, 4,  1, 3, 2]", "mine.json", network);
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(*order, PublishedOrder("vgg5", "ascend"));
}

struct BadOrder {
  const char* text;
  const char* message;
};

TEST(Orders, RefusesWithTheEntry) {
  const BadOrder cases[] = {
      {"{}", "o.json: expected a JSON list of layers, such as [2, 5, 9]"},
      {"[2, 5", "o.json: expected a JSON list of layers, such as [2, 5, 9]"},
      {"[2, \"x\", 9]", "o.json: entry 2 is \"x\", expected a whole number"},
      {"[2, 5.5, 9]", "o.json: entry 2 is 5.5, expected a whole number"},
      {"[2, 5, 5]", "o.json: entry 3 names 5 again, expected each layer once"},
      {"[2, 5, 7]",
       "o.json: entry 3 is 7, no layer of 300, whose layers are at 2, 5, 9"},
      {"[9, 5]",
       "o.json: 2 entries, expected the 3 layers of 300: 2 (features.0) is "
       "missing"},
      {"[]",
       "o.json: 0 entries, expected the 3 layers of 300: 1 (features.0) is "
       "missing"},
  };
  for (const BadOrder& bad : cases) {
    const auto order = ParseOrder(bad.text, "o.json", NetworkOf("mlp3"));
    ASSERT_FALSE(order.ok()) << bad.text;
    EXPECT_EQ(order.status().message(), bad.message);
  }
}

// The sizes of the networks, in closed form.
TEST(Networks, HaveTheirSizes) {
  struct Size {
    const char* name;
    int64_t weights, parameters, tensors, buffers, modules;
  };
  const Size sizes[] = {{"300", 266200, 267430, 12, 9, 12},
                        {"784", 1237152, 1241886, 12, 9, 12},
                        {"784x100", 694056, 696738, 12, 9, 12},
                        {"vgg5", 4300992, 4302942, 20, 15, 19},
                        {"vgg9", 2261184, 2265438, 36, 27, 33},
                        {"resnet20", 268336, 269722, 59, 57, 61},
                        {"resnet21", 11678912, 11689512, 62, 60, 68}};
  for (const Size& size : sizes) {
    const Network network = MakeNamed(size.name, models::SeededGenerator(0));
    const models::StateDict state = network.State();
    int64_t parameters = 0;
    for (const auto& [name, tensor] : state.parameters()) {
      parameters += tensor.numel();
    }
    EXPECT_EQ(network.weights(), size.weights) << size.name;
    EXPECT_EQ(parameters, size.parameters) << size.name;
    EXPECT_EQ(state.parameters().size(), static_cast<size_t>(size.tensors));
    EXPECT_EQ(state.entries().size() - state.parameters().size(),
              static_cast<size_t>(size.buffers));
    EXPECT_EQ(network.modules, size.modules) << size.name;
  }
}

class SeededInit : public ::testing::TestWithParam<const char*> {};

TEST_P(SeededInit, EqualsPythons) {
  const Golden golden("seeded_init.pt");
  for (const int seed : {316, 1}) {
    const std::string at = absl::StrCat("seed", seed, "/", GetParam(), "/");
    at::Generator generator = models::SeededGenerator(seed);
    const Network network = MakeNamed(GetParam(), generator);
    // Just as much randomness was taken.
    EXPECT_EQ(at::empty({}, at::kLong).random_(generator).item<int64_t>(),
              golden.Get(at + "next_draw").item<int64_t>());
    const at::Tensor first = golden.Get(at + "first6");
    const at::Tensor stats = golden.Get(at + "stats");
    int64_t row = 0;
    for (const auto& [name, tensor] : network.parameters()) {
      if (tensor.max().item<float>() == tensor.min().item<float>()) continue;
      const at::Tensor flat = tensor.flatten();
      EXPECT_TRUE(at::equal(flat.slice(0, 0, 6), first[row])) << at << name;
      const at::Tensor wide = flat.to(at::kDouble);
      const double scale = stats[row][1].item<double>();
      EXPECT_NEAR(wide.sum().item<double>(), stats[row][0].item<double>(),
                  1e-5 * scale);
      EXPECT_NEAR(wide.abs().sum().item<double>(), scale, 1e-5 * scale);
      EXPECT_EQ(wide.lt(0).sum().item<int64_t>(), stats[row][2].item<double>());
      EXPECT_EQ(wide.eq(0).sum().item<int64_t>(), stats[row][3].item<double>());
      ++row;
    }
    EXPECT_EQ(row, first.size(0));
  }
}

INSTANTIATE_TEST_SUITE_P(, SeededInit,
                         ::testing::Values("300", "784", "vgg5", "vgg9",
                                           "resnet20", "resnet21"));

}  // namespace
}  // namespace altprop::iterbin
