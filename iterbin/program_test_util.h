// Runs the programs of this package for their tests.

#ifndef ITERBIN_PROGRAM_TEST_UTIL_H_
#define ITERBIN_PROGRAM_TEST_UTIL_H_

#include <string>
#include <vector>

#include "common/testing/subprocess.h"
#include "common/training/metrics.h"

namespace altprop::iterbin {

// A run of a fraction of a second on `data` (testing::WriteMnist, 96 training
// images, of which 8 are for validation): 5 minibatches an epoch, 4 epochs, a
// layer more in each of the first three.
std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more = {});
inline constexpr int kSmallTrain = 96, kSmallTest = 20, kSmallSteps = 20;

// `program`: "main", "guide", ...
std::vector<std::string> Command(const std::string& program,
                                 const std::vector<std::string>& arguments);
testing::ProgramResult RunTool(const std::string& program,
                               const std::vector<std::string>& arguments);

// The lines of RUN_DIR/metrics.jsonl of that split.
std::vector<training::MetricsLine> Lines(const std::string& run_dir,
                                         const std::string& split);
double At(const training::MetricsLine& line, const std::string& name);

// RUN_DIR/metrics.jsonl without its clock.
std::string MetricsWithoutTime(const std::string& run_dir);

// The last line on stderr is the error; progress may stand before it.
void ExpectError(const testing::ProgramResult& result, int exit_code,
                 const std::vector<std::string>& words);

}  // namespace altprop::iterbin

#endif  // ITERBIN_PROGRAM_TEST_UTIL_H_
