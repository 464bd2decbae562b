// Runs the programs for their tests.

#ifndef CBP_PROGRAM_TEST_UTIL_H_
#define CBP_PROGRAM_TEST_UTIL_H_

#include <string>
#include <vector>

#include "common/testing/subprocess.h"
#include "common/training/metrics.h"

namespace altprop::cbp {

// `program`: "train", "evaluate", "export" or "convert".
testing::ProgramResult RunCbp(const std::string& program,
                              const std::vector<std::string>& arguments);

// argv, for a testing::Subprocess.
std::vector<std::string> CbpCommand(const std::string& program,
                                    const std::vector<std::string>& arguments);

// A run of a fraction of a second on `data` (testing::WriteMnist, 60 training
// images): an epoch in full precision and 4 under the constraint, of 6
// minibatches each, updates of the multipliers after each second one; written
// to `run_dir`.
std::vector<std::string> SmallRun(const std::string& data,
                                  const std::string& run_dir,
                                  const std::vector<std::string>& more = {});

// The lines of a split in the run's metrics.jsonl.
std::vector<training::MetricsLine> MetricsOf(const std::string& run_dir,
                                             const std::string& split);
// A value of one; a test failure where there is none.
double ValueOf(const training::MetricsLine& line, const std::string& name);

}  // namespace altprop::cbp

#endif  // CBP_PROGRAM_TEST_UTIL_H_
