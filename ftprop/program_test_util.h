// Runs //ftprop:train and //ftprop:evaluate for the tests of the programs.

#ifndef FTPROP_PROGRAM_TEST_UTIL_H_
#define FTPROP_PROGRAM_TEST_UTIL_H_

#include <string>
#include <vector>

#include "common/testing/subprocess.h"
#include "common/training/metrics.h"

namespace altprop::ftprop {

// A run of a second on `data` (testing::WriteMnist, 60 training images: 50 to
// train on, 6 minibatches an epoch, 3 epochs), written to `run_dir`.
std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more = {});

// FOLDER/train and FOLDER/val with a class "a" and a class "b" of `per_class`
// PNG images each.
void WriteImageFolder(const std::string& folder, int per_class, int width = 256,
                      int height = 260);

testing::ProgramResult RunTrain(const std::vector<std::string>& arguments);
testing::ProgramResult RunEvaluate(const std::vector<std::string>& arguments);

// argv of //ftprop:train, for a testing::Subprocess.
std::vector<std::string> TrainCommand(
    const std::vector<std::string>& arguments);

// The lines of metrics.jsonl of one split; a test failure for one that does not
// parse.
std::vector<training::MetricsLine> MetricsOf(const std::string& run_dir,
                                             const std::string& split);
// A line's value; a test failure if it has none.
double ValueOf(const training::MetricsLine& line, const std::string& name);

}  // namespace altprop::ftprop

#endif  // FTPROP_PROGRAM_TEST_UTIL_H_
