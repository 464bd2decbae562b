// Shows and rewrites checkpoints:
//
//   checkpoint_tool describe FILE       what a checkpoint holds, as JSON
//   checkpoint_tool copy FROM TO        reads FROM and saves it as TO
//   checkpoint_tool export FROM TO      the tensors of FROM's dictionary (of
//                                       its "model", if any) as safetensors
//   checkpoint_tool describe_safetensors FILE
//
// check_checkpoint.py holds these against Python's torch; describe_value.h says
// what the JSON is.
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "common/training/describe_value.h"
#include "common/training/safetensors.h"
#include "common/training/value.h"

namespace altprop::training {
namespace {

using Json = nlohmann::ordered_json;

absl::Status DescribeFile(const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const Value value, LoadCheckpoint(path));
  std::cout << DescribeValue(value).dump() << "\n";
  return absl::OkStatus();
}

absl::Status Copy(const std::string& from, const std::string& to) {
  ALTPROP_ASSIGN_OR_RETURN(const Value value, LoadCheckpoint(from));
  return SaveCheckpoint(to, value);
}

absl::Status Export(const std::string& from, const std::string& to) {
  ALTPROP_ASSIGN_OR_RETURN(const Value value, LoadCheckpoint(from));
  const Value* model = value.Find("model");
  const Dict* dict = (model == nullptr ? value : *model).dict();
  NamedTensors tensors;
  for (const auto& [name, item] : dict == nullptr ? Dict() : *dict) {
    if (item.tensor() != nullptr) tensors.emplace_back(name, *item.tensor());
  }
  return ExportSafetensors(to, tensors, {{"format", "pt"}});
}

absl::Status DescribeSafetensors(const std::string& path) {
  ALTPROP_ASSIGN_OR_RETURN(const Safetensors loaded, LoadSafetensors(path));
  Json tensors = Json::object();
  for (const auto& [name, tensor] : loaded.tensors) {
    tensors[name] = DescribeValue(tensor);
  }
  std::cout << Json{{"metadata", loaded.metadata}, {"tensors", tensors}}.dump()
            << "\n";
  return absl::OkStatus();
}

absl::Status Run(const std::vector<std::string>& args) {
  if (args.size() == 2 && args[0] == "describe") return DescribeFile(args[1]);
  if (args.size() == 3 && args[0] == "copy") return Copy(args[1], args[2]);
  if (args.size() == 3 && args[0] == "export") return Export(args[1], args[2]);
  if (args.size() == 2 && args[0] == "describe_safetensors") {
    return DescribeSafetensors(args[1]);
  }
  return UsageError(
      "usage: checkpoint_tool describe FILE | copy FROM TO | export FROM TO | "
      "describe_safetensors FILE");
}

}  // namespace
}  // namespace altprop::training

int main(int argc, char** argv) {
  try {
    const absl::Status status = altprop::training::Run({argv + 1, argv + argc});
    if (!status.ok()) std::cerr << status.message() << "\n";
    return altprop::ExitCode(status);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
