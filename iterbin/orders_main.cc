// //iterbin:orders: writes the authors' layer-order files, from their rules.

#include <iostream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/models/init.h"
#include "common/status.h"
#include "common/training/atomic_file.h"
#include "iterbin/orders.h"

namespace altprop::iterbin {
namespace {

absl::Status Main(const cli::ParsedArguments& arguments) {
  if (arguments.positionals.size() != 1) {
    return UsageError("expected one argument, the folder to write to");
  }
  const std::string folder = cli::ResolvePath(arguments.positionals[0]);
  int files = 0;
  for (const std::string& family : OrderFamilies()) {
    const Network network = MakeNamed(family == "mlp3" ? "300" : family,
                                      models::SeededGenerator(0));
    for (const std::string& tag : PublishedTags(family)) {
      ALTPROP_RETURN_IF_ERROR(training::WriteFileAtomically(
          absl::StrCat(folder, "/", OrderFileName(family, tag)),
          OrderFileText(network, PublishedOrder(family, tag))));
      ++files;
    }
  }
  std::cout << files << " files" << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::iterbin

int main(int argc, char** argv) {
  return altprop::cli::Main(
      argc, argv,
      {.name = "//iterbin:orders",
       .summary = "Writes the 80 layer orders of Lan 2021 as JSON files.",
       .groups = {},
       .positionals = 1,
       .positional_usage = "FOLDER"},
      altprop::iterbin::Main);
}
