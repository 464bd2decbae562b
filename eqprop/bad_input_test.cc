// What a user can get wrong: one line on stderr that names what and where, exit
// code 1 (2 for the command line), and nothing lost.

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "ATen/ops/isfinite.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/testing/files.h"
#include "common/training/checkpoint.h"
#include "eqprop/program_test_util.h"
#include "gtest/gtest.h"

namespace altprop::eqprop {
namespace {

using testing::ProgramResult;
using testing::ReadFile;
using testing::WriteFile;

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::NewFolder("bad");
    testing::WriteMnist(folder_, 60, 20);
    run_ = folder_ + "/run";
  }

  std::string File(const std::string& name) const {
    return absl::StrCat(folder_, "/", name);
  }

  // A run that went well, for what reads its checkpoint.
  std::string GoodRun() {
    const ProgramResult result = RunTrain(SmallRun(folder_, run_));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return run_ + "/checkpoint.pt";
  }

  ProgramResult Train(const std::vector<std::string>& more = {}) {
    return RunTrain(SmallRun(folder_, File("other"), more));
  }

  std::string folder_, run_;
};

// The last line on stderr is the error; progress may stand before it.
void ExpectError(const ProgramResult& result, int exit_code,
                 const std::vector<std::string>& words) {
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  std::vector<std::string> lines =
      absl::StrSplit(result.err, '\n', absl::SkipEmpty());
  ASSERT_FALSE(lines.empty());
  for (const std::string& word : words) {
    EXPECT_TRUE(absl::StrContains(lines.back(), word))
        << "\"" << word << "\" not in: " << lines.back();
  }
  EXPECT_FALSE(absl::StrContains(result.err, "terminate called"));
  EXPECT_FALSE(absl::StrContains(result.err, "Check failed"));
}

void ExpectOneLine(const ProgramResult& result, int exit_code,
                   const std::vector<std::string>& words) {
  ExpectError(result, exit_code, words);
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
      << result.err;
}

constexpr char kImages[] = "train-images-idx3-ubyte";
constexpr char kLabels[] = "t10k-labels-idx1-ubyte";

// A CNN on the same images, with `more` flags that are wrong.
const std::vector<std::string> kCnn = {"--model=CNN", "--lrs", "0.1", "0.1",
                                       "0.1"};

TEST_F(BadInput, ConvolutionsThatDoNotFitTogether) {
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.begin(), kCnn.begin(), kCnn.end());
    // Before data is read: there is none.
    return RunTrain(SmallRun(File("nowhere"), File("other"), more));
  };
  ExpectOneLine(train({"--kernels", "5"}), 2, {"--kernels", "2 convolutions"});
  ExpectOneLine(train({"--strides", "1", "0"}), 2, {"--strides", "at least 1"});
  ExpectOneLine(train({"--paddings", "1", "1", "1"}), 2, {"--paddings"});
  ExpectOneLine(train({"--pools", "mmm"}), 2, {"--pools", "3 letters"});
  ExpectOneLine(train({"--pools", "mx"}), 2, {"--pools", "mx", "m, a and i"});
  ExpectOneLine(train({"--kernels", "5", "25"}), 2,
                {"--kernels", "convolution 2", "12x12"});
  ExpectOneLine(train({"--fc", "0"}), 2, {"--fc"});
  ExpectOneLine(train({"--softmax"}), 2, {"--softmax", "cel"});
  ExpectOneLine(train({"--model=VGG"}), 2, {"--model", "VGG", "VFCNN"});
  ExpectOneLine(train({"--lrs", "0.1"}), 2, {"--lrs", "3 edges"});
  ExpectOneLine(train({"--same-update"}), 2, {"--same_update", "VFCNN"});
  ExpectOneLine(train({"--model=VFCNN", "--alg=CEP"}), 2, {"--alg", "CEP"});
  ExpectOneLine(train({"--alg=BPTT", "--T1=3", "--T2=4"}), 2, {"--T1", "T2"});
  ExpectOneLine(train({"--dropouts", "1", "0.5"}), 2,
                {"--dropouts", "2 values"});
  ExpectOneLine(train({"--dropouts", "1", "1", "2", "1"}), 2,
                {"--dropouts", "at most 1"});
  ExpectOneLine(train({"--semantics=wrong"}), 2, {"--semantics", "reference"});
  ExpectOneLine(train({"--updates=random"}), 2, {"--updates"});
  ExpectOneLine(train({"--tolerance=-1"}), 2, {"--tolerance"});
}

TEST_F(BadInput, SoftmaxOfAPerceptron) {
  ExpectOneLine(Train({"--loss=cel", "--softmax"}), 2, {"--softmax", "MLP"});
}

TEST_F(BadInput, LoadPathWithoutAState) {
  ExpectOneLine(Train({"--load_path", folder_}), 1, {"best.pt", folder_});
}

// What the authors' program leaves: a pickle of Python's own objects.
TEST_F(BadInput, LoadPathWithAPickledModule) {
  WriteFile(File("model.pt"), ReadFile("eqprop/testdata/pickled_module.pt"));
  ExpectOneLine(Train({"--load_path", folder_}), 1,
                {"model.pt", "state_dict", "--init_from"});
}

TEST_F(BadInput, MissingData) {
  ASSERT_EQ(unlink(File(kImages).c_str()), 0);
  ExpectOneLine(Train(), 1, {kImages, folder_});
}

TEST_F(BadInput, EmptyFile) {
  WriteFile(File(kImages), "");
  ExpectOneLine(Train(), 1, {kImages});
}

TEST_F(BadInput, TruncatedFile) {
  const std::string bytes = ReadFile(File(kImages));
  WriteFile(File(kImages), bytes.substr(0, bytes.size() - 100));
  ExpectOneLine(Train(), 1, {kImages, "byte"});
}

TEST_F(BadInput, OversizedFile) {
  WriteFile(File(kImages), ReadFile(File(kImages)) + "more");
  ExpectOneLine(Train(), 1, {kImages, "byte"});
}

TEST_F(BadInput, GarbageFile) {
  WriteFile(File(kImages), std::string(5000, 'x'));
  ExpectOneLine(Train(), 1, {kImages, "byte 0"});
}

TEST_F(BadInput, GarbageGzip) {
  ASSERT_EQ(unlink(File(kImages).c_str()), 0);
  WriteFile(File(kImages) + ".gz", std::string(5000, 'x'));
  ExpectOneLine(Train(), 1, {std::string(kImages) + ".gz"});
}

TEST_F(BadInput, LabelOutOfRange) {
  std::string bytes = ReadFile(File(kLabels));
  bytes[8 + 3] = 77;
  WriteFile(File(kLabels), bytes);
  ExpectOneLine(Train(), 1, {kLabels, "77", "byte 11"});
}

TEST_F(BadInput, CountsThatDisagree) {
  std::string bytes = ReadFile(File(kLabels));
  bytes[7] = 19;
  WriteFile(File(kLabels), bytes.substr(0, bytes.size() - 1));
  ExpectOneLine(Train(), 1, {kLabels, "19", "20"});
}

TEST_F(BadInput, TruncatedCifar) {
  mkdir(File("cifar-10-batches-bin").c_str(), 0777);
  for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3",
                           "data_batch_4", "data_batch_5", "test_batch"}) {
    WriteFile(File(absl::StrCat("cifar-10-batches-bin/", name, ".bin")),
              std::string(3073 * 2, 1));
  }
  const std::vector<std::string> cifar = {"--task=CIFAR10", "--archi", "3072",
                                          "8", "10"};
  EXPECT_EQ(RunTrain(SmallRun(folder_, File("cifar"), cifar)).exit_code, 0);
  WriteFile(File("cifar-10-batches-bin/data_batch_3.bin"),
            std::string(3073 + 17, 1));
  ExpectOneLine(Train(cifar), 1, {"data_batch_3.bin", "byte"});
  WriteFile(File("cifar-10-batches-bin/data_batch_3.bin"),
            std::string(3073, 99));
  ExpectOneLine(Train(cifar), 1, {"data_batch_3.bin", "99", "byte 0"});
}

TEST_F(BadInput, RunDirectoryThatCannotBeMade) {
  WriteFile(File("file"), "a file, not a folder");
  ExpectOneLine(RunTrain(SmallRun(folder_, File("file/run"))), 1, {"file/run"});
}

TEST_F(BadInput, WrongNumberOfLearningRates) {
  ExpectOneLine(Train({"--lrs", "0.1"}), 2, {"--lrs", "2 edges"});
}

TEST_F(BadInput, UnknownFlag) {
  ExpectOneLine(Train({"--thirdfase"}), 2, {"thirdfase", "thirdphase"});
}

TEST_F(BadInput, UnknownChoices) {
  ExpectOneLine(Train({"--act=relu"}), 2, {"--act", "relu", "mysig"});
  ExpectOneLine(Train({"--loss=l1"}), 2, {"--loss", "l1", "cel"});
  ExpectOneLine(Train({"--optim=lion"}), 2, {"--optim", "lion", "adam"});
  ExpectOneLine(Train({"--task=SVHN"}), 2, {"--task", "mnist"});
  ExpectOneLine(Train({"--T1=-5"}), 2, {"--T1=-5", "at least 0"});
}

TEST_F(BadInput, ArchitectureThatDoesNotFitTheImages) {
  ExpectOneLine(Train({"--archi", "100", "12", "10"}), 2, {"--archi", "784"});
  ExpectOneLine(Train({"--archi", "784", "12", "9"}), 2,
                {"--archi", "10", "classes"});
}

TEST_F(BadInput, CudaWithoutCuda) {
  ExpectOneLine(Train({"--device=cuda"}), 2, {"--device=cuda", "CUDA"});
}

TEST_F(BadInput, DivergenceNamesTheStepAndKeepsTheCheckpoint) {
  // A linear output layer follows its weights to infinity.
  ASSERT_EQ(Train({"--optim=sgd", "--loss=cel", "--checkpoint_every=1",
                   "--max_steps=2", "--lrs", "0.01", "0.01"})
                .exit_code,
            0);
  const std::string path = File("other/checkpoint.pt");
  ExpectError(RunTrain({"--resume", path, "--lrs", "1e38", "1e38",
                        "--checkpoint_every=1", "--data_root", folder_}),
              1, {"step", "diverged"});
  const auto kept = training::LoadCheckpoint(path);
  ASSERT_TRUE(kept.ok()) << kept.status();
  for (const auto& [name, value] : *kept->Find("model")->dict()) {
    EXPECT_TRUE(at::isfinite(*value.tensor()).all().item<bool>()) << name;
  }
}

TEST_F(BadInput, CheckpointThatIsNoCheckpoint) {
  const std::string path = File("notes.txt");
  WriteFile(path, "not a checkpoint");
  ExpectOneLine(RunTrain({"--resume", path}), 1, {"notes.txt"});
  ExpectOneLine(RunTrain({"--resume", File("absent.pt")}), 1, {"absent.pt"});
  WriteFile(path, "");
  ExpectOneLine(RunTrain({"--resume", path}), 1, {"notes.txt"});
}

TEST_F(BadInput, DamagedCheckpoint) {
  const std::string path = GoodRun();
  const std::string bytes = ReadFile(path);
  WriteFile(path, bytes.substr(0, bytes.size() / 2));
  ExpectOneLine(RunTrain({"--resume", path}), 1, {"checkpoint.pt"});

  std::string flipped = bytes;
  flipped[bytes.size() / 2] ^= 1;  // in the widest tensor
  WriteFile(path, flipped);
  ExpectOneLine(RunTrain({"--resume", path}), 1,
                {"checkpoint.pt", "synapses.0.weight"});
  EXPECT_EQ(ReadFile(path), flipped);
}

TEST_F(BadInput, CheckpointOfAnotherArchitecture) {
  const std::string path = GoodRun();
  ExpectOneLine(
      RunTrain(SmallRun(folder_, File("other"),
                        {"--archi", "784", "20", "10", "--init_from", path})),
      1, {"checkpoint.pt", "synapses.0.weight", "[12, 784]", "[20, 784]"});
}

TEST_F(BadInput, PickleThatIsMoreThanData) {
  // os.system('true') as pickle protocol 2, in torch's old stream form.
  WriteFile(File("evil.pt"), std::string("\x80\x02"
                                         "cos\nsystem\n"
                                         "X\x04\x00\x00\x00true\x85R.",
                                         28));
  ExpectOneLine(RunTrain({"--resume", File("evil.pt")}), 1, {"evil.pt"});
}

// The old checkpoint stays readable and nothing half-written stays behind.
TEST_F(BadInput, FullDisk) {
  const std::string path = GoodRun();
  const std::string before = ReadFile(path);
  const std::vector<std::string> more = {
      "eqprop/train", "--resume",    path,
      "--epochs=6",   "--threads=1", absl::StrCat("--data_root=", folder_)};
  // A limit below the checkpoint's size stands for the disk's end.
  const ProgramResult result =
      testing::RunProgram(more, {}, static_cast<int64_t>(before.size() / 2));
  ExpectError(result, 1, {"best.pt"});
  EXPECT_EQ(ReadFile(path), before);
  EXPECT_TRUE(training::LoadCheckpoint(path).ok());
  EXPECT_EQ(RunTrain({more.begin() + 1, more.end()}).exit_code, 0);
}

TEST_F(BadInput, FullTmpfs) {
  const std::string disk = File("disk");
  ASSERT_EQ(mkdir(disk.c_str(), 0777), 0);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=600k") != 0) {
    GTEST_SKIP() << "mounting a tmpfs needs privileges";
  }
  const std::string run = disk + "/run";
  ASSERT_EQ(RunTrain(SmallRun(folder_, run, {"--epochs=1"})).exit_code, 0);
  const std::string path = run + "/checkpoint.pt";
  const std::string before = ReadFile(path);
  // What is left is less than a checkpoint.
  std::string fill(1000, 'x');
  std::string filler;
  for (;;) {
    FILE* file = fopen((disk + "/filler").c_str(), "ab");
    const bool wrote = fwrite(fill.data(), 1, fill.size(), file) == fill.size();
    if ((fclose(file) != 0) || !wrote) break;
  }
  const ProgramResult result =
      RunTrain({"--resume", path, "--epochs=3", "--threads=1",
                absl::StrCat("--data_root=", folder_)});
  ExpectError(result, 1, {disk});
  EXPECT_EQ(ReadFile(path), before);
  EXPECT_TRUE(training::LoadCheckpoint(path).ok());
  umount(disk.c_str());
}

}  // namespace
}  // namespace altprop::eqprop
