// The authors' data handling, evaluation, optimizers and schedules.

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "ATen/TensorOperators.h"
#include "ATen/ops/abs.h"
#include "ATen/ops/arange.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/equal.h"
#include "ATen/ops/stack.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/str_cat.h"
#include "common/data/image_transform.h"
#include "common/data/svhn.h"
#include "common/kernels/augment.h"
#include "common/random.h"
#include "common/testing/files.h"
#include "common/training/optimizer.h"
#include "common/training/schedule.h"
#include "ftprop/data.h"
#include "ftprop/evaluation.h"
#include "ftprop/loss.h"
#include "ftprop/program_test_util.h"
#include "ftprop/test_util.h"
#include "gtest/gtest.h"

namespace altprop::ftprop {
namespace {

DataOptions OptionsFor(const std::string& name) {
  DataOptions options;
  options.spec = *FindDataSpec(name);
  return options;
}

TEST(Normalisation, EqualsTheAuthorsProgram) {
  const Golden golden("normalise.pt");
  for (const char* name :
       {"mnist", "cifar10", "cifar100", "svhn", "imagenet"}) {
    const DataSpec spec = *FindDataSpec(name);
    const at::Tensor bytes = at::arange(256, at::kByte)
                                 .view({1, 1, 16, 16})
                                 .expand({1, spec.channels, 16, 16});
    for (const auto& [type, suffix, tolerance] :
         {std::tuple{at::kFloat, "/f32", 3e-7},
          std::tuple{at::kDouble, "/f64", 1e-14}}) {
      const at::Tensor got =
          kernels::Normalize(bytes, spec.mean, spec.std, type)
              .view({spec.channels, 256});
      const at::Tensor expected = golden.Get(std::string(name) + suffix);
      EXPECT_TRUE((got - expected)
                      .abs()
                      .le(tolerance * expected.abs().clamp_min(1))
                      .all()
                      .item<bool>())
          << name << suffix;
    }
  }
}

// Zero padding by 4, a crop, then the mirror. The operator mirrors first, so
// its left edge counts from the other side.
TEST(Augmentation, CropsAndMirrorsAsTheAuthorsProgram) {
  const Golden golden("augment_cifar.pt");
  const at::Tensor offset = golden.Get("offset"), flip = golden.Get("flip");
  const int64_t count = flip.size(0);
  at::Tensor draws = at::zeros({count, 3}, at::kInt);
  std::vector<at::Tensor> images;
  for (int64_t k = 0; k < count; ++k) {
    const bool mirrored = flip[k].item<int64_t>() != 0;
    const int64_t left = offset[k][1].item<int64_t>();
    draws[k][0] = offset[k][0].item<int64_t>();
    draws[k][1] = mirrored ? 8 - left : left;
    draws[k][2] = mirrored ? 1 : 0;
    images.push_back(golden.Get("image")[k % 4]);
  }
  const DataSpec spec = *FindDataSpec("cifar10");
  ASSERT_EQ(spec.pad, 4);
  const at::Tensor stacked = at::stack(images);
  const std::vector<double> zero(3, 0.0), one(3, 1.0);
  EXPECT_TRUE(at::equal(
      kernels::Augment(stacked, draws, spec.pad, false, zero, one, at::kDouble)
          .mul(255)
          .round()
          .to(at::kByte),
      golden.Get("out_u8")));
  ExpectNear(kernels::Augment(stacked, draws, spec.pad, false, spec.mean,
                              spec.std, at::kFloat)
                 .slice(0, 0, 3),
             golden.Get("out_f32_first3"), 2e-7, "normalised");
}

TEST(Augmentation, IsForTrainingOnCifarAlone) {
  const at::Tensor images =
      Sequence(3, {4, 3, 32, 32}).mul(127).add(128).to(at::kByte);
  data::Batch batch;
  batch.images = images;
  batch.labels = at::zeros({4}, at::kLong);
  batch.sample_ids = at::arange(4, at::kLong);
  DataOptions options = OptionsFor("cifar10");
  const auto input = [&](bool training) {
    return NetworkInput(options, batch, training, at::kDouble, at::kCPU);
  };
  const at::Tensor plain = input(false);
  EXPECT_TRUE(
      at::equal(plain, kernels::Normalize(images, options.spec.mean,
                                          options.spec.std, at::kDouble)));
  EXPECT_FALSE(at::equal(input(true), plain));
  EXPECT_TRUE(at::equal(input(true), input(true)));
  options.augment = false;
  EXPECT_TRUE(at::equal(input(true), plain));
  options = OptionsFor("svhn");
  EXPECT_EQ(input(true).sizes(), at::IntArrayRef({4, 3, 40, 40}));
  EXPECT_TRUE(at::equal(input(true), input(false)));
}

TEST(Svhn, IsResizedAsTheAuthorsProgramDoes) {
  const Golden golden("resize_svhn.pt");
  const at::Tensor got = data::ResizeImages(golden.Get("image"), 40);
  const at::Tensor difference =
      (got.to(at::kInt) - golden.Get("out").to(at::kInt)).abs();
  EXPECT_EQ(difference.max().item<int32_t>(), 0);
}

TEST(Split, EqualsTheAuthorsProgram) {
  const Golden golden("data_rules.pt");
  const at::Tensor split = golden.Get("split");
  const at::Tensor share = golden.Get("split_share");
  for (int64_t i = 0; i < split.size(0); ++i) {
    const int64_t size = split[i][0].item<int64_t>();
    EXPECT_EQ(TrainingPart(size, share[i].item<double>()),
              split[i][1].item<int64_t>())
        << size;
  }
  // The shares themselves.
  EXPECT_EQ(TrainingPart(60000, FindDataSpec("mnist")->validation_share),
            50000);
  EXPECT_EQ(TrainingPart(50000, FindDataSpec("cifar100")->validation_share),
            40000);
  EXPECT_EQ(TrainingPart(604388, FindDataSpec("svhn")->validation_share),
            543949);
  EXPECT_EQ(TrainingPart(1281167, FindDataSpec("imagenet")->validation_share),
            1153050);
}

TEST(CenterCrop, EqualsTheAuthorsProgram) {
  const Golden golden("data_rules.pt");
  const at::Tensor sizes = golden.Get("center_crop/hw");
  const at::Tensor corners = golden.Get("center_crop/top_left");
  for (int64_t i = 0; i < sizes.size(0); ++i) {
    const data::ImageSize size{sizes[i][1].item<int64_t>(),
                               sizes[i][0].item<int64_t>()};
    const auto geometry = data::DrawGeometry(data::CenterCropTransform(224),
                                             size, CounterRandom(0, 0, 0, 0));
    ASSERT_TRUE(geometry.ok()) << geometry.status();
    EXPECT_EQ(geometry->top, corners[i][0].item<int64_t>());
    EXPECT_EQ(geometry->left, corners[i][1].item<int64_t>());
  }
}

// The sets that come with the trajectories: 72 images of CIFAR-10.
TEST(OpenData, SplitsOffTheTailAndTakesTheFirst) {
  DataOptions options = OptionsFor("cifar10");
  options.root = "ftprop/testdata/cifar10";
  options.shuffle = false;
  options.batch = 72;
  const auto all = [&](Source& source) {
    std::vector<at::Tensor> images;
    for (int64_t i = 0; i < source.batches_per_epoch(); ++i) {
      images.push_back(source.Get(0, i)->images);
    }
    return at::cat(images);
  };
  options.validation = false;
  auto whole = OpenData(options);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->validation, nullptr);
  EXPECT_EQ(whole->test->size(), 40);
  const at::Tensor images = all(*whole->train);
  ASSERT_EQ(images.size(0), 72);

  options.validation = true;
  options.first_training = 50;
  auto split = OpenData(options);
  ASSERT_TRUE(split.ok()) << split.status();
  // 72 * 0.8 = 57.6: 58 train, of them the first 50.
  EXPECT_TRUE(at::equal(all(*split->train), images.slice(0, 0, 50)));
  EXPECT_TRUE(at::equal(all(*split->validation), images.slice(0, 58)));
  EXPECT_TRUE(at::equal(all(*split->train_in_order), images.slice(0, 0, 50)));
}

std::vector<int64_t> Labels(Source& source) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < source.batches_per_epoch(); ++i) {
    const auto batch = source.Get(0, i);
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok()) return {};
    EXPECT_EQ(batch->images.size(2), 224);
    for (int64_t k = 0; k < batch->labels.numel(); ++k) {
      labels.push_back(batch->labels[k].item<int64_t>());
    }
  }
  return labels;
}

// Images of Tiny ImageNet's size: 20, of which 2 validate.
TEST(OpenData, TakesSmallImagesAndSplitsInFileOrderWithoutShuffling) {
  DataOptions options = OptionsFor("folder");
  options.root = testing::NewFolder("small");
  WriteImageFolder(options.root, 10, 64, 64);
  options.shuffle = false;
  auto in_order = OpenData(options);
  ASSERT_TRUE(in_order.ok()) << in_order.status();
  std::vector<int64_t> expected(10, 0);
  expected.resize(18, 1);
  EXPECT_EQ(Labels(*in_order->train), expected);
  EXPECT_EQ(Labels(*in_order->validation), (std::vector<int64_t>{1, 1}));
  // Windows at random, and with --augment=false the centre.
  const at::Tensor first = in_order->train->Get(0, 0)->images;
  EXPECT_FALSE(at::equal(first, in_order->train->Get(1, 0)->images));
  const at::Tensor centre = in_order->train_in_order->Get(0, 0)->images;
  EXPECT_FALSE(at::equal(first, centre));
  options.augment = false;
  auto plain = OpenData(options);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_TRUE(at::equal(plain->train->Get(0, 0)->images, centre));

  options.shuffle = true;
  auto shuffled = OpenData(options);
  ASSERT_TRUE(shuffled.ok()) << shuffled.status();
  const std::vector<int64_t> labels = Labels(*shuffled->train_in_order);
  EXPECT_EQ(labels.size(), 18u);
  EXPECT_NE(labels, expected);
}

TEST(OpenData, RefusesASplitWithoutSamples) {
  DataOptions options = OptionsFor("cifar10");
  options.root = "ftprop/testdata/cifar10";
  options.limit_train = 1;
  EXPECT_FALSE(OpenData(options).ok());
  options.validation = false;
  EXPECT_TRUE(OpenData(options).ok());
}

TEST(Score, EqualsTheAuthorsEvaluation) {
  const Golden golden("evaluate.pt");
  const at::Tensor z = golden.Get("z"), label = golden.Get("label");
  training::Score score;
  for (int64_t first = 0; first < z.size(0); first += 8) {
    const at::Tensor logits = z.slice(0, first, first + 8);
    const at::Tensor labels = label.slice(0, first, first + 8);
    score += ScoreOf(
        OutputLoss(Loss::kCrossEntropy, logits, labels).item().toDouble(),
        logits, labels);
  }
  const at::Tensor expected = golden.Get("loss_top1_top5");
  EXPECT_EQ(score.samples, 23);
  EXPECT_NEAR(score.loss(), expected[0].item<double>(), 1e-13);
  EXPECT_NEAR(100 * score.accuracy(), expected[1].item<double>(), 1e-13);
  EXPECT_NEAR(100 * score.accuracy5(), expected[2].item<double>(), 1e-13);
}

TEST(SelectionScore, IsTop5OnImageNetAlone) {
  training::Score score;
  score.correct = 3;
  score.correct5 = 8;
  score.samples = 9;
  const auto selected = [&](const std::string& name, int64_t classes) {
    return SelectionScore(*FindDataSpec(name), classes, score).correct;
  };
  EXPECT_EQ(selected("imagenet", 1000), 8);
  EXPECT_EQ(selected("imagenet", 6), 8);
  EXPECT_EQ(selected("imagenet", 5), 3);
  for (const char* name : {"folder", "tiny_imagenet", "cifar100", "mnist"}) {
    EXPECT_EQ(selected(name, 200), 3) << name;
  }
}

TEST(LearningRate, EqualsTheAuthorsSchedule) {
  const Golden golden("lr_schedule.pt");
  const auto expect = [&](const std::string& name, double rate,
                          const std::vector<int64_t>& epochs) {
    const at::Tensor rates = golden.Get(name);
    for (int64_t e = 1; e <= rates.numel(); ++e) {
      const double expected = rates[e - 1].item<double>();
      EXPECT_NEAR(training::MultiStep(rate, 0.1, epochs, e), expected,
                  1e-15 * expected)
          << name << " " << e;
    }
  };
  expect("cifar", 2.5e-4, {200, 250});
  expect("alexnet", 1e-4, {56, 64});
  expect("resnet", 0.1, {30, 60});
  expect("none", 0.01, {});
}

// Two parameters, twelve steps of two an epoch, the rate times 0.1 at epochs 3
// and 5.
TEST(Optimizers, EqualTheAuthorsProgram) {
  const Golden golden("optimisers.pt");
  struct Case {
    std::string name;
    double rate, momentum, decay;
  };
  for (const Case& c :
       {Case{"sgd_lr0.05_mu0.9_wd0.0005", 0.05, 0.9, 5e-4},
        Case{"sgd_lr0.05_mu0_wd0", 0.05, 0, 0},
        Case{"adam_lr0.00025_mu0.9_wd0.0005", 2.5e-4, 0.9, 5e-4},
        Case{"adam_lr0.001_mu0.9_wd0", 1e-3, 0.9, 0},
        Case{"rmsprop_lr0.001_mu0.9_wd0.0005", 1e-3, 0.9, 5e-4}}) {
    const at::Tensor w = Sequence(41, {5, 3}), b = Sequence(42, {4});
    const std::vector<training::ParameterGroup> groups = {
        {{{"w", w}, {"b", b}}, c.rate, c.decay}};
    training::Optimizer optimizer =
        c.name[0] == 's'   ? training::Optimizer::Sgd(groups, c.momentum)
        : c.name[0] == 'a' ? training::Optimizer::Adam(groups)
                           : training::Optimizer::RmsProp(groups);
    for (int64_t step = 0; step < 12; ++step) {
      const double rate =
          training::MultiStep(c.rate, 0.1, {3, 5}, step / 2 + 1);
      EXPECT_NEAR(rate, golden.Get(c.name + "/lr")[step].item<double>(),
                  1e-15 * rate);
      optimizer.set_learning_rate(0, rate);
      optimizer.Step(
          {Sequence(100 + step, {5, 3}) * std::pow(10.0, -(step % 4)),
           Sequence(200 + step, {4}) * (step == 2 ? 0 : 1e-3)});
      ExpectNear(w, golden.Get(c.name + "/w")[step], 1e-13, c.name);
      ExpectNear(b, golden.Get(c.name + "/b")[step], 1e-13, c.name);
    }
  }
}

}  // namespace
}  // namespace altprop::ftprop
