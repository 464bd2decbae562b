#include "eqprop/program_test_util.h"

#include "absl/strings/str_cat.h"

namespace altprop::eqprop {
namespace {

std::vector<std::string> Command(const std::string& program,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

}  // namespace

std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {
      "--task=MNIST", absl::StrCat("--data_root=", data),
      "--archi",      "784",
      "12",           "10",
      "--optim=adam", "--lrs",
      "2e-3",         "1e-3",
      "--betas",      "0.0",
      "0.2",          "--T1=8",
      "--T2=4",       "--mbs=10",
      "--epochs=3",   "--threads=1",
      "--run_dir",    run_dir};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<std::string> TrainCommand(
    const std::vector<std::string>& arguments) {
  return Command("eqprop/train", arguments);
}

testing::ProgramResult RunTrain(const std::vector<std::string>& arguments) {
  return testing::RunProgram(TrainCommand(arguments));
}

testing::ProgramResult RunEvaluate(const std::vector<std::string>& arguments) {
  return testing::RunProgram(Command("eqprop/evaluate", arguments));
}

}  // namespace altprop::eqprop
