// The networks and the auxiliary networks against recordings of the authors'
// program, and the isolation of blocks from one another.

#include "sedona/network.h"

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/linalg_vector_norm.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/std.h"
#include "ATen/ops/tensor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "sedona/aux_network.h"
#include "sedona/decoupling.h"
#include "sedona/greedy.h"
#include "sedona/losses.h"
#include "sedona/test_util.h"
#include "sedona/variables.h"
#include "torch/csrc/autograd/autograd.h"

namespace altprop::sedona {
namespace {

using torch::autograd::grad;

constexpr Mode kTraining{.training = true};

// ---- Auxiliary networks ----

class AuxGolden : public ::testing::Test {
 protected:
  // Fills `aux` with the recorded parameters; all of them must be there.
  void Fill(const Golden& golden, const std::string& key, Aux& aux) {
    parameters_.clear();
    names_.clear();
    statistics_.clear();
    Visit(aux, "",
          [&](const std::string& name, at::Tensor& tensor, bool parameter) {
            if (absl::EndsWith(name, "num_batches_tracked")) return;
            tensor = golden.Get(absl::StrCat(key, ".state.", name)).clone();
            if (!parameter) {
              statistics_.emplace_back(name, tensor);
              return;
            }
            tensor.set_requires_grad(true);
            names_.push_back(name);
            parameters_.push_back(tensor);
          });
    EXPECT_EQ(golden.Below(key + ".state.").size(),
              parameters_.size() + statistics_.size());
  }

  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_;
  training::NamedTensors statistics_;
};

std::vector<std::string> Keys(const Golden& golden, const std::string& prefix) {
  std::vector<std::string> keys;
  for (const auto& [name, tensor] : golden.Below(prefix)) {
    const std::string key = name.substr(0, name.find('.'));
    if (absl::StartsWith(key, "c") && (keys.empty() || keys.back() != key)) {
      keys.push_back(key);
    }
  }
  return keys;
}

int64_t NumberAfter(const std::string& key, char letter) {
  for (const std::string& word :
       std::vector<std::string>(absl::StrSplit(key, '_'))) {
    if (word[0] == letter && word.size() > 1 && isdigit(word[1]) != 0) {
      return std::stoll(word.substr(1));
    }
  }
  return 0;
}

TEST_F(AuxGolden, LightDecoders) {
  const Golden golden("aux_light.pt");
  const std::vector<std::string> keys = Keys(golden, "");
  EXPECT_EQ(keys.size(), 5u);
  for (const std::string& key : keys) {
    AuxShape shape;
    shape.channels = NumberAfter(key, 'c');
    shape.size = NumberAfter(key, 's');
    shape.classes = 6;
    shape.expansion = NumberAfter(key, 'r');
    shape.tail = 12;
    shape.nonlin = absl::EndsWith(key, "leakyrelu") ? Activation::kLeakyRelu
                                                    : Activation::kRelu;
    Aux aux = MakeLightDecoder(shape, NumberAfter(key, 'd'));
    Fill(golden, key, aux);
    const at::Tensor x = golden.Get(key + ".x").clone().set_requires_grad(true);
    std::vector<at::Tensor> inputs = parameters_;
    inputs.push_back(x);
    const at::Tensor out = Forward(aux, x, {}, kTraining).logits;
    ExpectClose(out, golden.Get(key + ".out"), 1e-10, key);
    const auto gradients = grad({out}, inputs, {golden.Get(key + ".v")});
    ExpectClose(gradients.back(), golden.Get(key + ".grad_x"), 1e-10, key);
    for (size_t i = 0; i < names_.size(); ++i) {
      ExpectClose(gradients[i],
                  golden.Get(absl::StrCat(key, ".grad.", names_[i])), 1e-10,
                  names_[i]);
    }
    for (const auto& [name, tensor] : statistics_) {
      ExpectClose(tensor, golden.Get(absl::StrCat(key, ".after.", name)), 1e-10,
                  name);
    }
    ExpectClose(Forward(aux, x, {}, Mode()).logits,
                golden.Get(key + ".eval_out"), 1e-10, key);
  }
}

TEST_F(AuxGolden, Mixtures) {
  const Golden golden("aux_mixture.pt");
  AuxShape shape;
  shape.channels = 8;
  shape.size = 6;
  shape.classes = 5;
  shape.tail = 16;
  Aux aux = MakeMixture(shape, 0, 3);
  Fill(golden, "weighted", aux);
  const at::Tensor x = golden.Get("weighted.x").clone().set_requires_grad(true);
  const at::Tensor w =
      golden.Get("weighted.weights").clone().set_requires_grad(true);
  std::vector<at::Tensor> inputs = parameters_;
  inputs.push_back(x);
  inputs.push_back(w);
  const at::Tensor out = Forward(aux, x, w, kTraining).logits;
  ExpectClose(out, golden.Get("weighted.out"), 1e-10);
  auto gradients = grad({out}, inputs, {golden.Get("weighted.v")});
  ExpectClose(gradients.back(), golden.Get("weighted.grad_weights"), 1e-10);
  gradients.pop_back();
  ExpectClose(gradients.back(), golden.Get("weighted.grad_x"), 1e-10);
  for (size_t i = 0; i < names_.size(); ++i) {
    ExpectClose(gradients[i], golden.Get("weighted.grad." + names_[i]), 1e-10,
                names_[i]);
  }
  ExpectClose(Forward(aux, x, w, Mode()).logits,
              golden.Get("weighted.eval_out"), 1e-10, "eval");
}

TEST_F(AuxGolden, ScaledLocalLoss) {
  const Golden golden("aux_mixture.pt");
  AuxShape shape;
  shape.channels = 8;
  shape.size = 6;
  shape.classes = 5;
  shape.tail = 16;
  Aux aux = MakeMixture(shape, 0, 3);
  Fill(golden, "local_loss", aux);
  const at::Tensor x =
      golden.Get("local_loss.x").clone().set_requires_grad(true);
  const at::Tensor w =
      golden.Get("local_loss.weights").clone().set_requires_grad(true);
  const double s = golden.Number("local_loss.scale");
  EXPECT_NEAR(s, 1 / (0.3 + 1e-5), 1e-12);
  const at::Tensor loss =
      SmoothCrossEntropy(Forward(aux, x / s, w, kTraining).logits * s,
                         golden.Get("local_loss.labels"), 0.1);
  ExpectClose(loss, golden.Get("local_loss.loss"), 1e-10);
  const auto gradients = grad({loss}, {x, w});
  ExpectClose(gradients[0], golden.Get("local_loss.grad_x"), 1e-10);
  ExpectClose(gradients[1], golden.Get("local_loss.grad_weights"), 1e-10);
}

TEST_F(AuxGolden, Baselines) {
  const Golden golden("aux_baselines.pt");
  for (const std::string family : {"mlp_sr.", "predsim."}) {
    const std::vector<std::string> keys = Keys(golden, family);
    EXPECT_GE(keys.size(), 2u);
    for (const std::string& name : keys) {
      const std::string key = family + name;
      const bool predsim = family == "predsim.";
      AuxShape shape;
      shape.channels = NumberAfter(name, 'c');
      shape.size = NumberAfter(name, 's');
      shape.classes = golden.Get(key + (predsim ? ".out0" : ".out")).size(1);
      const size_t target = name.find("target");
      Aux aux;
      if (predsim) {
        aux = MakePredSim(shape, std::stoll(name.substr(target + 6)),
                          absl::EndsWith(name, "std1"));
      } else {
        aux = MakeMlpSr(shape);
      }
      Fill(golden, key, aux);
      const at::Tensor x =
          golden.Get(key + ".x").clone().set_requires_grad(true);
      std::vector<at::Tensor> inputs = parameters_;
      inputs.push_back(x);
      const LocalOutput out = Forward(aux, x, {}, kTraining);
      std::vector<at::Tensor> gradients;
      if (predsim) {
        ExpectClose(out.logits, golden.Get(key + ".out0"), 1e-10, key);
        ExpectClose(out.similarity, golden.Get(key + ".out1"), 1e-10, key);
        gradients = grad({out.logits, out.similarity}, inputs,
                         {golden.Get(key + ".v0"), golden.Get(key + ".v1")});
      } else {
        ExpectClose(out.logits, golden.Get(key + ".out"), 1e-10, key);
        gradients = grad({out.logits}, inputs, {golden.Get(key + ".v")});
      }
      ExpectClose(gradients.back(), golden.Get(key + ".grad_x"), 1e-10, key);
      for (size_t i = 0; i < names_.size(); ++i) {
        ExpectClose(gradients[i],
                    golden.Get(absl::StrCat(key, ".grad.", names_[i])), 1e-10,
                    key + names_[i]);
      }
      const LocalOutput evaluated = Forward(aux, x, {}, Mode());
      ExpectClose(evaluated.logits,
                  golden.Get(key + (predsim ? ".eval_out0" : ".eval_out")),
                  1e-10, key);
    }
  }
  const at::Tensor table = golden.Get("pool_table").to(at::kLong);
  for (int64_t i = 0; i < table.size(0); ++i) {
    const auto at = [&](int64_t j) { return table[i][j].item<int64_t>(); };
    const PoolShape pool = PoolTowards(at(0), at(1), at(2));
    EXPECT_EQ((std::vector<int64_t>{pool.kernel_h, pool.kernel_w, pool.pad_h,
                                    pool.pad_w, pool.features}),
              (std::vector<int64_t>{at(3), at(4), at(5), at(6), at(7)}))
        << at(0) << " " << at(1) << " " << at(2);
  }
}

// ---- Networks ----

int64_t CountOf(const Network& network) {
  int64_t count = 0;
  for (const auto& [name, tensor] : Parameters(network)) {
    count += tensor.numel();
  }
  return count;
}

Network Undivided(const Architecture& architecture) {
  auto network = MakeNetwork(
      architecture, std::vector<AuxChoice>(
                        static_cast<size_t>(UnitCount(architecture.name) - 1)));
  EXPECT_TRUE(network.ok()) << network.status();
  return *std::move(network);
}

at::Tensor Summary(const at::Tensor& h) {
  return at::stack({h.mean(), h.std(/*unbiased=*/false),
                    at::linalg_vector_norm(h), h.min(), h.max()})
      .detach();
}

class Backbone : public ::testing::TestWithParam<std::string> {};

TEST_P(Backbone, EqualsTheRecording) {
  const Golden golden("networks.pt");
  const std::string key = GetParam() + ".";
  Architecture architecture;
  architecture.name = GetParam();
  Network network = Undivided(architecture);
  FillByHash(network);
  RequireGradients(network);
  const std::vector<at::Tensor> parameters = TensorsOf(Parameters(network));
  EXPECT_EQ(static_cast<int64_t>(parameters.size()),
            golden.Integers(key + "tensors").front());
  EXPECT_EQ(CountOf(network), golden.Integers(key + "parameters").front());

  at::Tensor h = HashImages(3, 1000);
  std::vector<at::Tensor> units;
  for (const Unit& unit : network.units) {
    h = Forward(unit, h, kTraining);
    EXPECT_EQ(h.size(1), unit.channels);
    EXPECT_EQ(h.size(2), unit.size);
    units.push_back(Summary(h));
  }
  const at::Tensor logits =
      Forward(network.units.back().aux, h, {}, kTraining).logits;
  ExpectClose(at::stack(units), golden.Get(key + "train.units"), 1e-8);
  ExpectClose(logits, golden.Get(key + "train.logits"), 1e-8);
  const at::Tensor loss = SmoothCrossEntropy(logits, HashLabels(3, 3), 0.1);
  ExpectClose(loss, golden.Get(key + "train.loss"), 1e-8);
  ExpectClose(Norms(grad({loss}, parameters)),
              golden.Get(key + "train.grad_norms"), 1e-8);
  ExpectClose(EvaluationLogits(network, HashImages(3, 1000)).back(),
              golden.Get(key + "eval.logits"), 1e-8);
}

INSTANTIATE_TEST_SUITE_P(, Backbone, ::testing::ValuesIn(ArchitectureNames()),
                         [](const auto& info) { return info.param; });

// "resnet50.sedona.K8" or "resnet50.imagenet.sedona.K2".
Network Decoupled(const std::string& key) {
  const std::vector<std::string> words = absl::StrSplit(key, '.');
  const bool wide = words.size() == 4;
  Architecture architecture;
  architecture.name = words[0];
  if (wide) {
    architecture.feat_mult = 4;
    architecture.input_size = words[1] == "imagenet" ? 224 : 64;
    architecture.classes = words[1] == "imagenet" ? 1000 : 200;
  }
  const std::string& method = words[words.size() - 2];
  const int64_t k = std::stoll(words.back().substr(1));
  Decoupling cuts = UniformDecoupling(UnitCount(words[0]), k);
  if (method == "sedona") {
    const auto variables = ReadVariables("sedona_outputs/" + words[0]);
    EXPECT_TRUE(variables.ok()) << variables.status();
    cuts = Decode(variables->alpha, variables->beta, k);
  }
  auto network = MakeNetwork(
      architecture,
      ChooseAux(architecture, cuts,
                method == "predsim" ? AuxKind::kPredSim : AuxKind::kMlpSr));
  EXPECT_TRUE(network.ok()) << network.status();
  return *std::move(network);
}

class DecoupledNetwork : public ::testing::TestWithParam<std::string> {};

TEST_P(DecoupledNetwork, EqualsTheRecording) {
  const Golden golden("decoupled.pt");
  const std::string key = GetParam() + ".";
  Network network = Decoupled(GetParam());
  FillByHash(network);
  RequireGradients(network);
  EXPECT_EQ(CountOf(network), golden.Integers(key + "parameters").front());
  const std::vector<Block> blocks = Blocks(network);
  LossOptions options;
  options.predsim = absl::StrContains(key, "predsim");
  at::Tensor h = HashImages(4, 1001);
  const at::Tensor labels = HashLabels(4, 5);
  std::vector<at::Tensor> losses, gradients;
  std::vector<double> norms;
  std::vector<int64_t> cuts;
  at::Tensor logits;
  for (const Block& block : blocks) {
    const BlockStep step = ForwardBackward(
        network, block, h, labels, TensorsOf(BlockParameters(network, block)),
        options, kTraining);
    h = step.passed_on;
    logits = step.logits;
    losses.push_back(step.loss);
    cuts.push_back(static_cast<int64_t>(block.last));
    norms.push_back(NormOf(step.gradients));
    gradients.insert(gradients.end(), step.gradients.begin(),
                     step.gradients.end());
  }
  EXPECT_EQ(static_cast<int64_t>(gradients.size()),
            golden.Integers(key + "tensors").front());
  EXPECT_EQ(cuts, golden.Integers(key + "cuts"));
  ExpectClose(at::stack(losses), golden.Get(key + "losses"), 1e-8);
  ExpectClose(logits, golden.Get(key + "logits"), 1e-8);
  ExpectClose(Norms(gradients), golden.Get(key + "grad_norms"), 1e-8);
  ExpectClose(at::tensor(norms, at::kDouble),
              golden.Get(key + "block_grad_norms"), 1e-8);

  const std::vector<at::Tensor> evaluated =
      EvaluationLogits(network, HashImages(4, 1001));
  ExpectClose(evaluated.back(), golden.Get(key + "eval_logits"), 1e-8);
  for (int64_t n = 1; golden.Has(absl::StrCat(key, "ensemble", n)); ++n) {
    // Recorded in float32.
    ExpectClose(EnsembleScores(evaluated, n),
                golden.Get(absl::StrCat(key, "ensemble", n)), 1e-6);
  }
  // The authors add scores up in float32.
  training::Score score;
  AddScore(evaluated.back(), evaluated.back(), labels, 0.1, score);
  const at::Tensor more = EvaluationLogits(network, HashImages(3, 1002)).back();
  AddScore(more, more, HashLabels(3, 3), 0.1, score);
  ExpectClose(
      at::tensor({score.loss(), 1 - score.accuracy(), 1 - score.accuracy5()},
                 at::kDouble),
      golden.Get(key + "test_loss_err1_err5"), 1e-7);
}

INSTANTIATE_TEST_SUITE_P(
    , DecoupledNetwork,
    ::testing::Values("vgg19.sedona.K2", "vgg19.sedona.K8",
                      "resnet50.sedona.K8", "resnet101.sedona.K4",
                      "resnet152.sedona.K4", "vgg19.mlp_sr.K8",
                      "resnet18.mlp_sr.K2", "resnet101.predsim.K4",
                      "resnet152.predsim.K2"),
    [](const auto& info) {
      std::string name = info.param;
      for (char& c : name) c = c == '.' ? '_' : c;
      return name;
    });

class WideNetwork : public ::testing::TestWithParam<std::string> {};

TEST_P(WideNetwork, EqualsTheRecording) {
  const Golden golden("wide.pt");
  const std::string key = GetParam() + ".";
  Network network = Decoupled(GetParam());
  EXPECT_EQ(CountOf(network), golden.Integers(key + "parameters").front());
  FillByHash(network);
  at::Tensor h = HashImages(2, 1005, network.architecture.input_size);
  const at::Tensor labels = golden.Get(key + "labels");
  std::vector<at::Tensor> losses, units;
  LocalOutput output;
  for (const Unit& unit : network.units) {
    h = Forward(unit, h, kTraining);
    units.push_back(Summary(h));
    if (!unit.ends_block()) continue;
    output = Forward(unit.aux, h, {}, kTraining);
    losses.push_back(LocalLoss(output, labels, {}));
  }
  ExpectClose(at::stack(units), golden.Get(key + "units"), 1e-8);
  ExpectClose(at::stack(losses), golden.Get(key + "losses"), 1e-8);
  ExpectClose(output.logits, golden.Get(key + "logits"), 1e-8);
}

INSTANTIATE_TEST_SUITE_P(, WideNetwork,
                         ::testing::Values("resnet50.tiny-imagenet.sedona.K4",
                                           "vgg19.tiny-imagenet.sedona.K2",
                                           "resnet50.imagenet.sedona.K2"),
                         [](const auto& info) {
                           return std::string(
                               info.param[0] == 'v' ? "vgg19_tiny"
                               : absl::StrContains(info.param, "tiny")
                                   ? "resnet50_tiny"
                                   : "resnet50_imagenet");
                         });

// Parameters of the whole networks, counted with the authors' program.
TEST(ParameterCounts, OfSupernetsAndDecouplings) {
  const auto supernet = [](const std::string& name) {
    Architecture architecture;
    architecture.name = name;
    auto network = MakeNetwork(
        architecture,
        std::vector<AuxChoice>(static_cast<size_t>(UnitCount(name) - 1),
                               {AuxKind::kMixture, 0}));
    EXPECT_TRUE(network.ok()) << network.status();
    return CountOf(*network);
  };
  EXPECT_EQ(supernet("vgg11"), 2611310);
  EXPECT_EQ(supernet("vgg13"), 2713978);
  EXPECT_EQ(supernet("vgg16"), 3505506);
  EXPECT_EQ(supernet("vgg19"), 4297034);
  EXPECT_EQ(supernet("resnet18"), 2413906);
  EXPECT_EQ(supernet("resnet34"), 5263682);
  EXPECT_EQ(supernet("resnet50"), 9125090);
  EXPECT_EQ(CountOf(Decoupled("vgg19.sedona.K4")), 2532232);
  EXPECT_EQ(CountOf(Decoupled("resnet50.mlp_sr.K4")), 9056952);
  EXPECT_EQ(CountOf(Decoupled("resnet50.predsim.K4")), 2826680);
}

// ---- Channels together ----

// The fused passes and the ways around oneDNN give what plain calls give. 8
// channels at 56x56, stride 2: where PyTorch's own convolution crashes.
TEST(DifferentiableOnce, GivesWhatPlainCallsGive) {
  Architecture architecture;
  architecture.name = "resnet50";
  architecture.input_size = 224;
  architecture.feat_mult = 0.125;
  Network network = Undivided(architecture);
  Initialise(network, 0);
  RequireGradients(network);
  const at::Tensor x = HashImages(3, 1000, 224).to(at::kFloat);
  Network exact = Clone(network);
  ConvertTo(exact, at::kDouble, at::kCPU);
  RequireGradients(exact);
  const auto run = [&](const Network& n, bool once) {
    Mode mode = kTraining;
    mode.differentiable_once = once;
    const std::vector<at::Tensor> parameters = TensorsOf(Parameters(n));
    const at::Tensor logits =
        Forward(n, Blocks(n)[0],
                Arrange(x.to(parameters[0].scalar_type()), mode), mode)
            .local.logits;
    return grad({SmoothCrossEntropy(logits, HashLabels(3, 3), 0.1)},
                parameters);
  };
  const std::vector<at::Tensor> truth = run(exact, false);
  const auto error = [&](const std::vector<at::Tensor>& gradients) {
    double sum = 0;
    for (size_t i = 0; i < truth.size(); ++i) {
      sum += (gradients[i].to(at::kDouble) - truth[i])
                 .square()
                 .sum()
                 .item<double>();
    }
    return std::sqrt(sum) / NormOf(truth);
  };
  // Batches of three through 50 layers magnify rounding: the measure is what
  // plain float32 makes of it.
  const double plain = error(run(network, false));
  EXPECT_LE(error(run(network, true)), 3 * plain);
  EXPECT_LE(plain, 0.1);
}

// ---- Isolation ----

TEST(Isolation, ALossReachesItsBlockOnly) {
  Network network = Decoupled("resnet18.mlp_sr.K4");
  FillByHash(network);
  RequireGradients(network);
  const std::vector<Block> blocks = Blocks(network);
  ASSERT_EQ(blocks.size(), 4u);
  const at::Tensor x = HashImages(4, 1000), labels = HashLabels(4, 3);
  at::Tensor h = x;
  for (size_t j = 0; j < blocks.size(); ++j) {
    const BlockOutput output = Forward(network, blocks[j], h, kTraining);
    const at::Tensor loss = LocalLoss(output.local, labels, {});
    for (size_t k = 0; k < blocks.size(); ++k) {
      const auto parameters = TensorsOf(BlockParameters(network, blocks[k]));
      for (const at::Tensor& g :
           grad({loss}, parameters, {}, /*retain_graph=*/true,
                /*create_graph=*/false, /*allow_unused=*/true)) {
        EXPECT_EQ(g.defined(), j == k);
      }
    }
    h = output.h.detach();
  }
}

TEST(Isolation, LabelsOfOneBlockLeaveTheOthersAlone) {
  const auto gradients = [](bool other) {
    Network network = Decoupled("vgg19.sedona.K3");
    FillByHash(network);
    RequireGradients(network);
    at::Tensor h = HashImages(4, 1000);
    std::vector<std::vector<at::Tensor>> all;
    const std::vector<Block> blocks = Blocks(network);
    for (size_t j = 0; j < blocks.size(); ++j) {
      const BlockStep step = ForwardBackward(
          network, blocks[j], h, HashLabels(4, other && j == 1 ? 4 : 3),
          TensorsOf(BlockParameters(network, blocks[j])), {}, kTraining);
      h = step.passed_on;
      all.push_back(step.gradients);
    }
    return all;
  };
  const auto a = gradients(false), b = gradients(true);
  for (size_t j = 0; j < a.size(); ++j) {
    bool same = true;
    for (size_t i = 0; i < a[j].size(); ++i) same &= a[j][i].equal(b[j][i]);
    EXPECT_EQ(same, j != 1);
  }
}

}  // namespace
}  // namespace altprop::sedona
