#include "sedona/variables.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/isfinite.h"
#include "ATen/ops/tensor.h"
#include "ATen/ops/zeros.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status.h"
#include "common/training/checkpoint.h"
#include "sedona/searched_variables.h"

namespace altprop::sedona {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<at::Tensor> ParseMatrix(const std::string& text,
                                       const std::string& file) {
  std::vector<double> values;
  int64_t rows = 0, columns = -1;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r,"), absl::SkipEmpty());
    if (words.empty() && columns != 0) continue;
    for (const absl::string_view word : words) {
      if (!absl::SimpleAtod(word, &values.emplace_back())) {
        return absl::InvalidArgumentError(
            absl::StrCat(file, ": \"", Printable(word), "\" in row ", rows,
                         " is not a number"));
      }
    }
    const auto count = static_cast<int64_t>(words.size());
    if (columns >= 0 && count != columns) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": row ", rows, " has ", count,
                       " numbers, the rows before it have ", columns));
    }
    columns = count;
    ++rows;
  }
  return at::tensor(values, at::kDouble)
      .view({rows, std::max<int64_t>(columns, 0)});
}

absl::StatusOr<at::Tensor> CheckMatrix(absl::StatusOr<at::Tensor> matrix,
                                       const std::string& file) {
  if (!matrix.ok()) return matrix;
  if (matrix->dim() != 2 || !matrix->is_floating_point()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": holds no matrix of real numbers"));
  }
  if (!at::isfinite(*matrix).all().item<bool>()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": holds numbers that are not finite"));
  }
  return matrix;
}

absl::StatusOr<at::Tensor> ReadTensor(const std::string& file) {
  ALTPROP_ASSIGN_OR_RETURN(const training::Value value,
                           training::LoadCheckpoint(file));
  const at::Tensor* tensor = value.tensor();
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": holds ", value.TypeName(), ", not a tensor"));
  }
  return *tensor;
}

// `name`: "alpha" or "beta".
absl::StatusOr<at::Tensor> ReadMatrix(const std::string& folder,
                                      const std::string& name) {
  const std::string packed = absl::StrCat(folder, "/", name, ".pt");
  const std::string text = absl::StrCat(folder, "/", name, ".txt");
  std::error_code error;
  if (!fs::exists(packed, error) && fs::exists(text, error)) {
    std::ifstream file(text);
    std::ostringstream content;
    content << file.rdbuf();
    if (!file) return absl::UnavailableError(text + ": cannot be read");
    return CheckMatrix(ParseMatrix(content.str(), text), text);
  }
  return CheckMatrix(ReadTensor(packed), packed);
}

absl::StatusOr<at::Tensor> Published(const std::string& arch,
                                     const std::string& name) {
  const std::string file = absl::StrCat(arch, "/", name, ".txt");
  for (const SearchedVariables& searched : kSearchedVariables) {
    if (file == searched.file) {
      ALTPROP_ASSIGN_OR_RETURN(const at::Tensor matrix,
                               ParseMatrix(searched.text, file));
      return matrix.to(at::kFloat);
    }
  }
  return absl::NotFoundError("no such search");
}

absl::Status WriteMatrix(const std::string& folder, const std::string& name,
                         const at::Tensor& matrix) {
  const at::Tensor values = matrix.detach().cpu();
  ALTPROP_RETURN_IF_ERROR(training::SaveCheckpoint(
      absl::StrCat(folder, "/", name, ".pt"), training::Value(values)));
  const std::string path = absl::StrCat(folder, "/", name, ".txt");
  std::ofstream file(path);
  file.precision(values.scalar_type() == at::kFloat ? 9 : 17);
  for (int64_t i = 0; i < values.size(0); ++i) {
    for (int64_t j = 0; j < values.size(1); ++j) {
      file << (j > 0 ? " " : "") << values[i][j].item<double>();
    }
    file << '\n';
  }
  file.close();
  if (!file) return absl::UnavailableError(path + ": cannot be written");
  return absl::OkStatus();
}

std::string ShapeText(const at::Tensor& matrix) {
  return absl::StrCat("[", matrix.size(0), ", ", matrix.size(1), "]");
}

}  // namespace

absl::StatusOr<Variables> ReadVariables(const std::string& folder,
                                        bool with_beta) {
  Variables variables;
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fs::path path(folder);
    if (path.filename().empty()) path = path.parent_path();
    const std::string arch = path.filename().string();
    if (path.parent_path().filename() == "sedona_outputs") {
      absl::StatusOr<at::Tensor> alpha = Published(arch, "alpha");
      absl::StatusOr<at::Tensor> beta = Published(arch, "beta");
      if (alpha.ok() && beta.ok()) return Variables{*alpha, *beta};
    }
    return absl::NotFoundError(absl::StrCat(
        folder,
        ": no such folder with alpha.pt and beta.pt, and none of the "
        "published searches (sedona_outputs/vgg19, resnet50, resnet101, "
        "resnet152)"));
  }
  ALTPROP_ASSIGN_OR_RETURN(variables.alpha, ReadMatrix(folder, "alpha"));
  if (!with_beta) {
    variables.beta =
        at::zeros({variables.alpha.size(0), 0}, variables.alpha.options());
    return variables;
  }
  ALTPROP_ASSIGN_OR_RETURN(variables.beta, ReadMatrix(folder, "beta"));
  return variables;
}

absl::Status CheckVariables(const std::string& folder,
                            const Variables& variables, int64_t units,
                            int64_t candidates, bool with_beta) {
  if (variables.alpha.size(0) != units - 1 || variables.alpha.size(1) != 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        folder, ": alpha is ", ShapeText(variables.alpha), ", expected [",
        units - 1, ", 2] for a network of ", units, " units"));
  }
  if (!with_beta) return absl::OkStatus();
  if (variables.beta.size(0) != units - 1 ||
      (variables.beta.size(1) != candidates && variables.beta.size(1) != 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": beta is ", ShapeText(variables.beta),
                     ", expected [", units - 1, ", ", candidates,
                     "]: a column for each depth of an "
                     "auxiliary network (--min_dec_depth, --max_dec_depth)"));
  }
  return absl::OkStatus();
}

absl::Status WriteVariables(const std::string& folder,
                            const Variables& variables) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(folder, ": cannot be made: ", error.message()));
  }
  ALTPROP_RETURN_IF_ERROR(WriteMatrix(folder, "alpha", variables.alpha));
  return WriteMatrix(folder, "beta", variables.beta);
}

}  // namespace altprop::sedona
