#include "common/kernels/augment_reference.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

namespace altprop::kernels {
namespace {

// `pad` more of the edge, or zeros, on all four sides of [C, H, W].
at::Tensor Pad(const at::Tensor& image, int64_t pad, bool replicate_edge) {
  if (!replicate_edge) {
    return at::constant_pad_nd(image, {pad, pad, pad, pad}, 0);
  }
  at::Tensor padded = image;
  for (const int64_t dim : {1, 2}) {
    const int64_t size = image.size(dim);
    const auto index =
        at::arange(-pad, size + pad, image.options().dtype(at::kLong))
            .clamp(0, size - 1);
    padded = padded.index_select(dim, index);
  }
  return padded;
}

at::Tensor PerChannel(at::ArrayRef<double> values, const at::Tensor& like) {
  return at::tensor(values, at::kDouble)
      .to(like.device(), like.scalar_type())
      .view({-1, 1, 1});
}

}  // namespace

at::Tensor AugmentReference(const at::Tensor& images, const at::Tensor& draws,
                            int64_t pad, bool replicate_edge,
                            at::ArrayRef<double> mean, at::ArrayRef<double> std,
                            at::ScalarType dtype) {
  const int64_t height = images.size(2);
  const int64_t width = images.size(3);
  at::Tensor cropped = at::empty(images.sizes(), images.options());
  for (int64_t n = 0; n < images.size(0); ++n) {
    at::Tensor image = images[n];
    if (draws.defined()) {
      const auto draw = [&](int64_t i) { return draws[n][i].item<int64_t>(); };
      if (draw(2) != 0) image = image.flip(2);
      image = Pad(image, pad, replicate_edge)
                  .narrow(1, draw(0), height)
                  .narrow(2, draw(1), width);
    }
    cropped[n].copy_(image);
  }
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor scaled = cropped.to(wide).div(255);
  return scaled.sub(PerChannel(mean, scaled))
      .div(PerChannel(std, scaled))
      .to(dtype);
}

}  // namespace altprop::kernels
