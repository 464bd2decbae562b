// Whole networks on the recordings' batch: numbers of the authors' program, and
// short trainings on that one batch. float64.

#include <cmath>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/core/grad_mode.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/training/optimizer.h"
#include "ftprop/loss.h"
#include "ftprop/network.h"
#include "ftprop/network_test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

struct Row {
  std::string network, nonlin, rule;
  bool scaled;
  double loss;
  std::vector<double> logits;            // the first three of sample 0
  double all_gradients, first_gradient;  // norms
  double tolerance = 1e-8;               // relative
};

std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.network << " " << row.nonlin << " " << row.rule;
}

const Row kRows[] = {
    {"convnet4_cifar",
     "step11",
     "SoftHinge",
     true,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     19.535994509,
     .40514779431},
    {"convnet4_cifar",
     "step11",
     "SoftHinge",
     false,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     1050.0252002,
     310.58533445},
    {"convnet4_cifar",
     "step11",
     "SSTE",
     true,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     21.322278956,
     .70801776040},
    {"convnet4_cifar",
     "step11",
     "TruncWtHinge",
     true,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     21.322278956,
     .70801776040},
    {"convnet4_cifar",
     "step11",
     "Ramp",
     true,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     21.631525208,
     .78305869464},
    {"convnet4_cifar",
     "step11",
     "LeCunTanh",
     true,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     22.341738872,
     .88932722269},
    {"convnet4_cifar",
     "step11",
     "STE",
     true,
     2.4688647308,
     {.61360209, -.20966435, .07489671},
     21.807843184,
     .84738567365},
    {"convnet4_cifar",
     "step01",
     "SoftHinge",
     true,
     2.4051701367,
     {-.22437440, -.22545966, .31957604},
     13.867720826,
     .44188501004},
    {"convnet4_cifar",
     "step01",
     "SSTE",
     true,
     2.4051701367,
     {-.22437440, -.22545966, .31957604},
     12.581274695,
     .34531626659},
    {"convnet4_cifar",
     "staircase3",
     "SoftHinge",
     true,
     2.3434633779,
     {-.16609724, -.09528728, .02921200},
     4.0828333484,
     .18362091923},
    {"convnet4_cifar",
     "staircase3",
     "SSTE",
     true,
     2.3434633779,
     {-.16609724, -.09528728, .02921200},
     4.9914191087,
     .38402002195},
    {"convnet4_cifar",
     "staircase3",
     "TruncWtHinge",
     true,
     2.3434633779,
     {-.16609724, -.09528728, .02921200},
     5.5142394721,
     .56190577994},
    {"convnet4_cifar",
     "staircase",
     "SoftHinge",
     true,
     2.3221530230,
     {-.06917768, -.05602830, .02725326},
     3.3685584805,
     .18091634247},
    {"convnet4_cifar",
     "staircase",
     "SSTE",
     true,
     2.3221530230,
     {-.06917768, -.05602830, .02725326},
     4.3348766371,
     .38828312432},
    {"convnet4_cifar",
     "relu",
     "SoftHinge",
     true,
     2.3343119010,
     {-.07859100, -.05894984, .04833138},
     5.0015182151,
     .46539996708},
    {"convnet4_cifar",
     "threshrelu",
     "SoftHinge",
     true,
     2.3209457817,
     {-.05159307, -.06198341, .05039359},
     4.0952580995,
     .38039698814},
    // Batch norm over four samples of +-1 meets channels of variance 0, where
    // 1 / sqrt(eps) = 316 multiplies every rounding.
    {"convnet4_bn_cifar",
     "step11",
     "SoftHinge",
     true,
     2.3676587721,
     {.01220203, -.29828271, -.01235654},
     13107.350532,
     3197.8301159,
     1e-6},
    {"convnet4_mnist",
     "step11",
     "SoftHinge",
     true,
     2.8773478635,
     {.73041149, .93933221, 1.30173473},
     21.084135425,
     .24230027665},
    {"convnet8_bn_cifar",
     "step11",
     "SoftHinge",
     true,
     2.2808113391,
     {.36885117, -.15912079, .62725416},
     23.676312696,
     .31663609704},
    {"convnet8_bn_cifar",
     "step11",
     "SSTE",
     true,
     2.2808113391,
     {.36885117, -.15912079, .62725416},
     29.355829897,
     1.2420240556},
    {"convnet8_bn_cifar",
     "staircase3",
     "SoftHinge",
     true,
     2.4276518880,
     {.01904943, .00830174, .22393591},
     38.780770478,
     12.011429489},
    {"convnet8_bn_cifar",
     "staircase3",
     "SSTE",
     true,
     2.4276518880,
     {.01904943, .00830174, .22393591},
     107.94239584,
     49.457682969},
    {"convnet8_bn_cifar",
     "relu",
     "SoftHinge",
     true,
     2.1253380396,
     {.69923018, -.14500684, .48440307},
     43.009730522,
     12.402775963},
    {"convnet8_bn_cifar",
     "threshrelu",
     "SoftHinge",
     true,
     2.2262316307,
     {.10123437, -.34438162, .22894838},
     71.317842411,
     26.977005206},
    {"convnet8_cifar",
     "staircase3",
     "SoftHinge",
     true,
     2.3313308148,
     {-.04946928, -.09017512, -.10557344},
     2.4743124143,
     .00091497464088},
    {"convnet8_bn_svhn",
     "staircase3",
     "SoftHinge",
     true,
     2.3350053734,
     {-.17615675, -.00670129, .73769024},
     40.676240891,
     12.221631824},
    {"resnet18_cifar",
     "step11",
     "SSTE",
     true,
     2.3442341201,
     {.00191537, .03224852, .15443076},
     7.7743164471,
     .053241773756},
    {"resnet18_cifar",
     "staircase",
     "SoftHinge",
     true,
     2.2999074258,
     {.46745028, -.09658835, .17934365},
     18.454567314,
     2.0119824072},
    {"resnet18_cifar",
     "relu",
     "SoftHinge",
     true,
     2.2608204938,
     {.73324989, -.20958515, .40033721},
     27.213869503,
     3.0686234232},
    {"resnet18_imagenet",
     "relu",
     "SoftHinge",
     true,
     6.7845375697,
     {.65706300, -.16982612, .28037112},
     22.844154510,
     6.8594839597},
    {"alexnet_drf",
     "relu",
     "SoftHinge",
     true,
     6.9835057384,
     {.43665005, .22972341, -.56092739},
     182.36962589,
     60.451731469},
};

void ExpectClose(double got, double expected, double tolerance,
                 const std::string& what) {
  EXPECT_NEAR(got, expected, tolerance * std::abs(expected)) << what;
}

class FixtureTest : public ::testing::TestWithParam<Row> {};

TEST_P(FixtureTest, HasTheNumbersOfTheAuthorsProgram) {
  const Row& row = GetParam();
  const NetworkSpec spec = SpecOf(row.network);
  const Network network =
      MakeFilled(spec, ThresholdOf(row.nonlin, row.rule, row.scaled));
  const Fixture fixture = FixtureOf(spec);
  Pass pass;
  pass.training = true;
  const at::Tensor logits = Forward(network, fixture.x, pass);
  const at::Tensor loss =
      OutputLoss(Loss::kCrossEntropy, logits, fixture.labels);
  ExpectClose(loss.item<double>(), row.loss, row.tolerance, "loss");
  for (size_t i = 0; i < row.logits.size(); ++i) {
    // Eight digits are known.
    EXPECT_NEAR(logits[0][int64_t(i)].item<double>(), row.logits[i], 1e-8);
  }
  double squares = 0;
  const auto gradients = Gradients(network, loss);
  for (const at::Tensor& gradient : gradients) {
    squares += std::pow(gradient.norm().item<double>(), 2);
  }
  ExpectClose(std::sqrt(squares), row.all_gradients, row.tolerance,
              "all gradients");
  ExpectClose(gradients[0].norm().item<double>(), row.first_gradient,
              row.tolerance, "first gradient");
}

INSTANTIATE_TEST_SUITE_P(, FixtureTest, ::testing::ValuesIn(kRows));

// ---- Training on the one batch ----

enum class By { kAdam, kLegacyAdam, kSgd, kRmsProp };

struct Training {
  std::string network, nonlin, rule;
  By by;
  double rate;
  std::vector<double> losses;  // before each of six steps
  double first_weight;         // norm, after them
};

std::ostream& operator<<(std::ostream& out, const Training& training) {
  return out << training.network << " " << training.nonlin << " "
             << training.rule << " " << static_cast<int>(training.by);
}

const Training kTrainings[] = {
    {"convnet4_cifar",
     "step11",
     "SoftHinge",
     By::kAdam,
     2.5e-4,
     {2.468864731, .620089045, .733112848, .178800506, .057158947, .023174957},
     3.259434372},
    {"convnet4_cifar",
     "step11",
     "SoftHinge",
     By::kLegacyAdam,
     2.5e-4,
     {2.468864731, .620089054, .733112808, .178976960, .057771366, .023244093},
     3.259435608},
    {"convnet4_cifar",
     "step11",
     "SSTE",
     By::kAdam,
     2.5e-4,
     {2.468864731, .835854449, .536242840, .182822440, .039978661, .023977710},
     3.259063404},
    {"convnet4_cifar",
     "staircase3",
     "SoftHinge",
     By::kAdam,
     2.5e-4,
     {2.343463378, 1.644692015, 1.330283114, 1.240380318, 1.188145187,
      1.154913636},
     3.264524409},
    {"convnet4_cifar",
     "relu",
     "SoftHinge",
     By::kAdam,
     2.5e-4,
     {2.334311901, 1.645307867, 1.209901261, .878779623, .629841319,
      .442097309},
     3.277436270},
    {"convnet4_cifar",
     "step11",
     "SoftHinge",
     By::kSgd,
     .01,
     {2.468864731, .465813603, .123597889, .067093102, .029529607, .012292526},
     3.260749382},
    {"convnet4_cifar",
     "staircase3",
     "SSTE",
     By::kSgd,
     .01,
     {2.343463378, 2.162911280, 1.850419600, 1.666893133, 1.439373691,
      1.357636288},
     3.264777301},
    {"convnet4_cifar",
     "relu",
     "SoftHinge",
     By::kRmsProp,
     1e-4,
     {2.334311901, 1.062257678, 1.234367867, 1.562632932, .940915682,
      .224151311},
     3.276077382},
    {"convnet8_bn_cifar",
     "staircase3",
     "SoftHinge",
     By::kAdam,
     1e-3,
     {2.427651888, .787388831, .369932916, .222640056, .159522741, .123022258},
     3.999056039},
    {"convnet8_bn_cifar",
     "relu",
     "SoftHinge",
     By::kAdam,
     1e-3,
     {2.125338040, .590557727, .216722929, .133673019, .095707822, .072158919},
     3.997312654},
};

training::Optimizer Make(const Training& training, const Network& network) {
  const std::vector<training::ParameterGroup> groups = {
      {network.state.parameters(), training.rate, 5e-4}};
  switch (training.by) {
    case By::kSgd:
      return training::Optimizer::Sgd(groups, 0.9);
    case By::kRmsProp:
      return training::Optimizer::RmsProp(groups);
    default:
      break;
  }
  training::AdamOptions adam;
  adam.legacy_eps = training.by == By::kLegacyAdam;
  return training::Optimizer::Adam(groups, adam);
}

class TrainingTest : public ::testing::TestWithParam<Training> {};

TEST_P(TrainingTest, GoesWhereTheAuthorsProgramGoes) {
  const Training& training = GetParam();
  const NetworkSpec spec = SpecOf(training.network);
  const Network network =
      MakeFilled(spec, ThresholdOf(training.nonlin, training.rule));
  const Fixture fixture = FixtureOf(spec);
  training::Optimizer optimizer = Make(training, network);
  Pass pass;
  pass.training = true;
  for (size_t step = 0; step < training.losses.size(); ++step) {
    const at::Tensor loss = OutputLoss(
        Loss::kCrossEntropy, Forward(network, fixture.x, pass), fixture.labels);
    // Rounding flips no unit in the first three steps.
    EXPECT_NEAR(loss.item<double>(), training.losses[step],
                step < 3 ? 1e-6 : 1e-4)
        << step;
    optimizer.Step(Gradients(network, loss));
  }
  EXPECT_NEAR(network.state.parameters()[0].second.norm().item<double>(),
              training.first_weight, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(, TrainingTest, ::testing::ValuesIn(kTrainings));

// ---- Batch norm's buffers, and evaluation after one training pass ----

struct Buffers {
  std::string network, nonlin;
  double mean, variance, loss;
};

TEST(Evaluation, TakesTheBuffersOfOneTrainingPass) {
  for (const Buffers& row : {Buffers{"convnet4_bn_cifar", "step11",
                                     -.0523437500, .9728860294, 2.5300291593},
                             Buffers{"convnet8_bn_cifar", "step11", .0090796652,
                                     .9070436741, 2.5997264198},
                             Buffers{"convnet8_bn_cifar", "staircase3",
                                     .0064478450, .9027433849, 2.3381114499},
                             Buffers{"convnet8_bn_cifar", "relu", .0075979142,
                                     .9065719745, 2.2979427414},
                             Buffers{"convnet8_bn_svhn", "staircase3",
                                     .0060618899, .9029832216, 2.2417271587},
                             Buffers{"resnet18_cifar", "relu", -.0016678009,
                                     .9378584838, 2.3027679781}}) {
    const NetworkSpec spec = SpecOf(row.network);
    const Network network =
        MakeFilled(spec, ThresholdOf(row.nonlin, "SoftHinge"));
    const Fixture fixture = FixtureOf(spec);
    const at::NoGradGuard no_grad;
    Pass pass;
    pass.training = true;
    Forward(network, fixture.x, pass);
    const std::string what = absl::StrCat(row.network, " ", row.nonlin);
    std::optional<double> mean, variance;
    for (const auto& [name, tensor] : network.state.entries()) {
      if (!mean && absl::EndsWith(name, "running_mean")) {
        mean = tensor[0].item<double>();
      } else if (!variance && absl::EndsWith(name, "running_var")) {
        variance = tensor[0].item<double>();
      }
    }
    EXPECT_NEAR(*mean, row.mean, 1e-9) << what;
    EXPECT_NEAR(*variance, row.variance, 1e-9) << what;
    EXPECT_NEAR(OutputLoss(Loss::kCrossEntropy, Forward(network, fixture.x, {}),
                           fixture.labels)
                    .item<double>(),
                row.loss, 1e-6)
        << what;
  }
}

}  // namespace
}  // namespace altprop::ftprop
