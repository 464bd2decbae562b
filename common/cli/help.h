// The text of --help.
#ifndef COMMON_CLI_HELP_H_
#define COMMON_CLI_HELP_H_

#include <string>

#include "common/cli/program.h"

namespace altprop::cli {

// The program's flags in its groups, 80 columns wide, each with its value's
// kind and default: "--T1 N  free-phase steps (default: 20)". A help text that
// ends in "[unit]" shows the unit beside the default: "(default: 20 steps)".
std::string HelpText(const Program& program);

}  // namespace altprop::cli

#endif  // COMMON_CLI_HELP_H_
