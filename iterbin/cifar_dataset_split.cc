// //iterbin:cifar_dataset_split: divides CIFAR-10's training images at random
// into a training and a validation split.

#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/cli/main.h"
#include "common/cli/path.h"
#include "common/data/loader.h"
#include "common/status.h"
#include "common/training/atomic_file.h"

ABSL_FLAG(std::optional<uint64_t>, seed, std::nullopt,
          "of the shuffling; none: another one each time");
ABSL_FLAG(int64_t, images, 50000, "training images to divide");

namespace altprop::iterbin {
namespace {

absl::Status Main(const cli::ParsedArguments& arguments) {
  if (arguments.positionals.size() != 2) {
    return UsageError(
        "expected SIZE OUTPUT: how many images to keep for "
        "validation, and the file to write");
  }
  const int64_t images = absl::GetFlag(FLAGS_images);
  if (images < 1) {
    return FlagError("images", absl::StrCat(images), "must be at least 1");
  }
  int64_t size = 0;
  if (!absl::SimpleAtoi(arguments.positionals[0], &size) || size < 0 ||
      size > images) {
    return UsageError(absl::StrCat("SIZE=", Printable(arguments.positionals[0]),
                                   ": expected a number from 0 to ", images));
  }
  const uint64_t seed =
      absl::GetFlag(FLAGS_seed).value_or(std::random_device()());
  const at::Tensor order = data::Permutation(seed, 0, images);
  const auto* first = order.const_data_ptr<int64_t>();
  const nlohmann::ordered_json split = {
      {"train", std::vector<int64_t>(first + size, first + images)},
      {"validation", std::vector<int64_t>(first, first + size)}};
  const std::string file = cli::ResolvePath(arguments.positionals[1]);
  ALTPROP_RETURN_IF_ERROR(
      training::WriteFileAtomically(file, split.dump() + "\n"));
  std::cout << file << ": " << images - size << " training and " << size
            << " validation images, seed " << seed << std::endl;
  return absl::OkStatus();
}

}  // namespace
}  // namespace altprop::iterbin

int main(int argc, char** argv) {
  return altprop::cli::Main(
      argc, argv,
      {.name = "//iterbin:cifar_dataset_split",
       .summary = "A random division of CIFAR-10's training images, as the "
                  "file that --dataset_indices of //iterbin:main names.",
       .groups = {{"Split", {"seed", "images"}}},
       .positionals = 2,
       .positional_usage = "SIZE OUTPUT"},
      altprop::iterbin::Main);
}
