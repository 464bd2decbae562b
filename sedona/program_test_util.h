// Runs the programs for their tests.
#ifndef SEDONA_PROGRAM_TEST_UTIL_H_
#define SEDONA_PROGRAM_TEST_UTIL_H_

#include <string>
#include <vector>

#include "common/testing/subprocess.h"
#include "common/training/metrics.h"

namespace altprop::sedona {

using Arguments = std::vector<std::string>;

Arguments operator+(Arguments a, const Arguments& b);

// `program`: "evaluate". Its argv, and a run of it.
Arguments Command(const std::string& program, const Arguments& arguments);
testing::ProgramResult Start(const std::string& program,
                             const Arguments& arguments);

// The metrics of a split, and a value by its name.
std::vector<training::MetricsLine> Lines(const std::string& run_dir,
                                         const std::string& split);
double At(const training::MetricsLine& line, const std::string& name);

// --ckpt_dir and --result_dir.
Arguments Folders(const std::string& below);

// A narrow network on 60 digits that the program draws; a training of 3 blocks.
Arguments Small(const std::string& run_dir);
Arguments SmallTraining(const std::string& root, const std::string& run_dir);

}  // namespace altprop::sedona

#endif  // SEDONA_PROGRAM_TEST_UTIL_H_
