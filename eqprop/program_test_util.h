// Runs //eqprop:train and //eqprop:evaluate for the tests of the programs.

#ifndef EQPROP_PROGRAM_TEST_UTIL_H_
#define EQPROP_PROGRAM_TEST_UTIL_H_

#include <string>
#include <vector>

#include "common/testing/subprocess.h"

namespace altprop::eqprop {

// A run of a fraction of a second on `data` (testing::WriteMnist, 60 training
// images: 6 minibatches an epoch, 3 epochs), written to `run_dir`.
std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more = {});

testing::ProgramResult RunTrain(const std::vector<std::string>& arguments);
testing::ProgramResult RunEvaluate(const std::vector<std::string>& arguments);

// argv of //eqprop:train, for a testing::Subprocess.
std::vector<std::string> TrainCommand(
    const std::vector<std::string>& arguments);

}  // namespace altprop::eqprop

#endif  // EQPROP_PROGRAM_TEST_UTIL_H_
