#include "eqprop/network.h"

#include <optional>
#include <string>

#include "common/models/init.h"
#include "eqprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

Network Seeded(const std::vector<int64_t>& sizes, std::optional<double> scale,
               uint64_t seed = 0) {
  return MakeMlp(sizes, Activation::kMysig, scale,
                 models::SeededGenerator(seed));
}

void ExpectParameters(const Network& network, const Golden& golden,
                      const std::string& prefix) {
  const std::vector<at::Tensor> expected = golden.PerParameter(prefix);
  const auto parameters = Parameters(network);
  ASSERT_EQ(parameters.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(parameters[i].second.equal(expected[i])) << parameters[i].first;
  }
}

TEST(MakeMlpTest, ScaleDrawsASecondTimeAndMultiplies) {
  const Golden golden("init_seeded_float32.pt");
  ASSERT_EQ(golden.Number("seed"), 0);
  ExpectParameters(Seeded({7, 5, 4}, golden.Number("scale")), golden,
                   "mlp.scaled");
}

TEST(MakeMlpTest, DrawsTheReferencesBits) {
  const Golden golden("init_seeded_float32.pt");
  for (const auto& [name, tensor] :
       Parameters(Seeded({784, 512, 10}, std::nullopt))) {
    const at::Tensor flat = tensor.flatten();
    EXPECT_TRUE(
        flat.narrow(0, 0, 8).equal(golden.Get("mlp_784_512_10.first8." + name)))
        << name;
    EXPECT_TRUE(flat.narrow(0, flat.size(0) - 8, 8)
                    .equal(golden.Get("mlp_784_512_10.last8." + name)))
        << name;
    const double sum = golden.Number("mlp_784_512_10.sum." + name);
    EXPECT_NEAR(flat.to(at::kDouble).sum().item<double>(), sum,
                1e-9 * std::abs(sum) + 1e-12)
        << name;
    const double squares = golden.Number("mlp_784_512_10.sumsq." + name);
    EXPECT_NEAR(flat.to(at::kDouble).square().sum().item<double>(), squares,
                1e-9 * squares)
        << name;
  }
}

TEST(MakeMlpTest, AnotherSeedDrawsOtherBits) {
  EXPECT_FALSE(
      Seeded({7, 5, 4}, std::nullopt, 1)
          .edges[0]
          .weight.equal(Seeded({7, 5, 4}, std::nullopt).edges[0].weight));
}

// The configurations of the recording.
Architecture ConvolutionalOf(Model model, std::vector<int64_t> channels,
                             std::vector<int64_t> fc, bool softmax) {
  return Convolutional(model, Activation::kMysig, 32, std::move(channels),
                       {3, 3, 3, 3}, {1, 1, 1, 1}, {1, 1, 1, 0}, "mmmm",
                       std::move(fc), softmax);
}

TEST(MakeNetworkTest, DrawsEveryModelAsTheReferenceDoes) {
  const Golden golden("init_seeded_float32.pt");
  Architecture vfmlp;
  vfmlp.model = Model::kVfMlp;
  vfmlp.archi = {7, 5, 4, 3};
  const std::vector<int64_t> kNarrow = {3, 2, 4, 5, 6};
  const std::pair<const char*, Architecture> kModels[] = {
      {"vfmlp", vfmlp},
      {"cnn", ConvolutionalOf(Model::kCnn, kNarrow, {5}, false)},
      {"vfcnn", ConvolutionalOf(Model::kVfCnn, kNarrow, {6, 5}, false)},
      {"vfcnn_softmax", ConvolutionalOf(Model::kVfCnn, kNarrow, {5}, true)},
  };
  for (const auto& [name, architecture] : kModels) {
    SCOPED_TRACE(name);
    ExpectParameters(MakeNetwork(architecture, golden.Number("scale"),
                                 models::SeededGenerator(0)),
                     golden, std::string(name) + ".scaled");
  }
}

TEST(MakeNetworkTest, DrawsThePublishedNetworks) {
  const Golden golden("init_seeded_float32.pt");
  const std::vector<int64_t> kPublished = {3, 128, 256, 512, 512};
  const std::tuple<const char*, Architecture, int64_t> kModels[] = {
      {"cnn_published", ConvolutionalOf(Model::kCnn, kPublished, {10}, false),
       3'843'850},
      {"vfcnn_published_softmax",
       ConvolutionalOf(Model::kVfCnn, kPublished, {10}, true), 7'677'706},
  };
  for (const auto& [model, architecture, count] : kModels) {
    const Network network =
        MakeNetwork(architecture, std::nullopt, models::SeededGenerator(0));
    int64_t numbers = 0;
    for (const auto& [name, tensor] : Parameters(network)) {
      numbers += tensor.numel();
      const std::string key = std::string(model) + ".last8." + name;
      const at::Tensor flat = tensor.flatten();
      EXPECT_TRUE(flat.narrow(0, flat.size(0) - 8, 8).equal(golden.Get(key)))
          << key;
    }
    EXPECT_EQ(numbers, count);
  }
  const std::vector<double> angles = Angles(MakeNetwork(
      std::get<1>(kModels[1]), std::nullopt, models::SeededGenerator(0)));
  ASSERT_EQ(angles.size(), 3u);
  EXPECT_NEAR(angles[0], 89.95, 0.005);
  EXPECT_NEAR(angles[1], 90.02, 0.005);
  EXPECT_NEAR(angles[2], 89.99, 0.005);
}

TEST(ParametersTest, HaveTheReferencesNamesShapesAndOrder) {
  const auto parameters = Parameters(Seeded({784, 512, 10}, std::nullopt));
  ASSERT_EQ(parameters.size(), 4);
  EXPECT_EQ(parameters[0].first, "synapses.0.weight");
  EXPECT_EQ(parameters[0].second.sizes(), at::IntArrayRef({512, 784}));
  EXPECT_EQ(parameters[1].first, "synapses.0.bias");
  EXPECT_EQ(parameters[1].second.sizes(), at::IntArrayRef({512}));
  EXPECT_EQ(parameters[2].first, "synapses.1.weight");
  EXPECT_EQ(parameters[2].second.sizes(), at::IntArrayRef({10, 512}));
  EXPECT_EQ(parameters[3].first, "synapses.1.bias");
  EXPECT_EQ(parameters[3].second.sizes(), at::IntArrayRef({10}));
  int64_t count = 0;
  for (const auto& [name, tensor] : parameters) count += tensor.numel();
  EXPECT_EQ(count, 407'050);
}

TEST(ParametersTest, AreTheNetworksOwnMemory) {
  const Network network = Seeded({3, 2}, std::nullopt);
  Parameters(network)[0].second.zero_();
  EXPECT_TRUE(network.edges[0].weight.eq(0).all().item<bool>());
}

TEST(ConvertNetworkTest, WidensTheSameDraw) {
  const Network narrow = Seeded({7, 5, 4}, std::nullopt);
  const Network wide = ConvertNetwork(narrow, at::kDouble, at::kCPU);
  for (size_t l = 0; l < 2; ++l) {
    ExpectClose(wide.edges[l].weight, narrow.edges[l].weight.to(at::kDouble),
                0);
    ExpectClose(wide.edges[l].bias, narrow.edges[l].bias.to(at::kDouble), 0);
  }
}

}  // namespace
}  // namespace altprop::eqprop
