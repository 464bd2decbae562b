#ifndef SEDONA_AUTOCAST_H_
#define SEDONA_AUTOCAST_H_

#include <optional>

#include "ATen/autocast_mode.h"
#include "c10/core/DeviceType.h"
#include "c10/core/ScalarType.h"

namespace altprop::sedona {

// While it lives, in this thread, products are made in `type`; none: nothing
// changes. Batch norm, softmax and losses keep the types that autocast gives
// them.
class Autocast {
 public:
  Autocast(const std::optional<at::ScalarType>& type, at::DeviceType device)
      : active_(type.has_value()), device_(device) {
    if (!active_) return;
    before_ = at::autocast::get_autocast_dtype(device_);
    at::autocast::set_autocast_dtype(device_, *type);
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (!active_) return;
    // Copies of weights that are about to change.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, false);
    at::autocast::set_autocast_dtype(device_, before_);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool active_;
  at::DeviceType device_;
  at::ScalarType before_ = at::kFloat;
};

}  // namespace altprop::sedona

#endif  // SEDONA_AUTOCAST_H_
