// Loss scaling for half precision (Micikevicius et al. 2018): gradients too
// small for it are kept by a factor on the loss.
#ifndef SEDONA_LOSS_SCALER_H_
#define SEDONA_LOSS_SCALER_H_

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"
#include "common/training/value.h"

namespace altprop::sedona {

class LossScaler {
 public:
  double scale() const { return scale_; }

  // Divides by the scale; false where one of them is infinite or NaN: then
  // their update is skipped, and the scaler remembers it.
  bool Unscale(std::vector<at::Tensor>& gradients);

  // After an iteration's updates: half the scale if one was skipped, twice the
  // scale after 2000 iterations without.
  void Update();

  training::Value ToValue() const;
  absl::Status FromValue(const training::Value& value);

 private:
  double scale_ = 65536;
  int64_t clean_ = 0;  // iterations since the last skipped update
  bool skipped_ = false;
};

}  // namespace altprop::sedona

#endif  // SEDONA_LOSS_SCALER_H_
