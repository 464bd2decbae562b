#include "ftprop/diagnostics.h"

#include "ATen/CPUGeneratorImpl.h"
#include "ATen/ops/cat.h"
#include "ATen/ops/empty.h"
#include "absl/strings/str_cat.h"
#include "common/random.h"
#include "common/status.h"

namespace altprop::ftprop {

bool Diagnostics::Wants(absl::string_view split, int64_t epoch,
                        int64_t batch) const {
  if (!options_.diagnostics) return false;
  const std::string stream = absl::StrCat("diagnostics of ", split);
  CounterRandom random(options_.run.seed, RandomStream(stream),
                       static_cast<uint32_t>(epoch),
                       static_cast<uint64_t>(batch));
  return random.Uniform() >= options_.drop_share;
}

at::Tensor Diagnostics::Sample(const at::Tensor& values) {
  at::Generator generator = at::detail::createCPUGenerator(
      MixSeed(options_.run.seed, RandomStream("diagnostics") + taken_++));
  const at::Tensor flat = values.detach().cpu().contiguous().flatten();
  const at::Tensor kept = at::empty({flat.numel()}, at::kFloat)
                              .uniform_(0, 1, generator)
                              .lt(options_.sample_share);
  return flat.masked_select(kept);
}

void Diagnostics::Take(const std::vector<at::Tensor>& inputs,
                       const std::vector<at::Tensor>& outputs) {
  layers_.resize(network_.hidden.size());
  for (size_t l = 0; l < inputs.size(); ++l) {
    if (!network_.hidden[l].nonlinearity.hard()) continue;
    layers_[l].inputs.push_back(Sample(inputs[l]));
    layers_[l].outputs.push_back(Sample(outputs[l]));
  }
}

HiddenObserver Diagnostics::Observer(const std::string& split, int64_t epoch) {
  return {[this, split, epoch](int64_t batch) {
            return Wants(split, epoch, batch);
          },
          [this](const std::vector<at::Tensor>& inputs,
                 const std::vector<at::Tensor>& outputs) {
            Take(inputs, outputs);
          }};
}

absl::Status Diagnostics::Log(absl::string_view split, int64_t step,
                              training::RunDirectory& directory) {
  for (size_t l = 0; l < layers_.size(); ++l) {
    const std::string& name = network_.hidden_names[l];
    for (const auto& [tag, pieces] :
         {std::pair{"step_input", &layers_[l].inputs},
          std::pair{"step_output", &layers_[l].outputs}}) {
      if (pieces->empty()) continue;
      const at::Tensor values = at::cat(*pieces);
      if (values.numel() == 0) continue;
      ALTPROP_RETURN_IF_ERROR(directory.LogHistogram(
          absl::StrCat(split, "/", tag, "/", name), step, values));
    }
  }
  layers_.clear();
  return absl::OkStatus();
}

}  // namespace altprop::ftprop
