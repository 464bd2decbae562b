// Command lines: everything a program needs, in one header.
//
//   int main(int argc, char** argv) {
//     const cli::Program program = {
//         .name = "//eqprop:train",
//         .summary = "Equilibrium propagation (Laborieux et al. 2021).",
//         .groups = {{"Dynamics", {"T1", "T2", "betas"}}}};
//     return cli::Main(argc, argv, program, Train);
//   }

#ifndef COMMON_CLI_CLI_H_
#define COMMON_CLI_CLI_H_

#include "common/cli/help.h"     // IWYU pragma: export
#include "common/cli/lists.h"    // IWYU pragma: export
#include "common/cli/main.h"     // IWYU pragma: export
#include "common/cli/parse.h"    // IWYU pragma: export
#include "common/cli/path.h"     // IWYU pragma: export
#include "common/cli/program.h"  // IWYU pragma: export

#endif  // COMMON_CLI_CLI_H_
