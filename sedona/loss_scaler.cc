#include "sedona/loss_scaler.h"

#include "ATen/TensorOperators.h"
#include "ATen/ops/isfinite.h"
#include "common/status.h"

namespace altprop::sedona {
namespace {

constexpr int64_t kGrowthInterval = 2000;

}  // namespace

bool LossScaler::Unscale(std::vector<at::Tensor>& gradients) {
  bool finite = true;
  for (at::Tensor& gradient : gradients) {
    gradient = gradient / scale_;
    finite = finite && at::isfinite(gradient).all().item<bool>();
  }
  skipped_ = skipped_ || !finite;
  return finite;
}

void LossScaler::Update() {
  if (skipped_) {
    scale_ /= 2;
    clean_ = 0;
  } else if (++clean_ == kGrowthInterval) {
    scale_ *= 2;
    clean_ = 0;
  }
  skipped_ = false;
}

training::Value LossScaler::ToValue() const {
  return training::Dict{{"scale", scale_}, {"clean", clean_}};
}

absl::Status LossScaler::FromValue(const training::Value& value) {
  ALTPROP_ASSIGN_OR_RETURN(scale_, value.GetDouble("scale"));
  ALTPROP_ASSIGN_OR_RETURN(clean_, value.GetInt("clean"));
  return absl::OkStatus();
}

}  // namespace altprop::sedona
