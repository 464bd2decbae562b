// The gradient check as a page and as files.

#ifndef EQPROP_GRADIENT_CHECK_REPORT_H_
#define EQPROP_GRADIENT_CHECK_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/training/report.h"
#include "eqprop/estimate.h"
#include "eqprop/gradient_check.h"

namespace altprop::eqprop {

struct GradientCheckPage {
  training::ReportHeader header;
  std::vector<training::FactTable> facts;  // "Check": T1, T2, beta, ...
  // Of the integrated estimates: whether the last step is missing.
  Semantics semantics = Semantics::kReference;
  uint64_t seed = 0;  // which elements are drawn
};

// Writes into `folder`, making it where it is missing:
//
//   report.html           the table, a plot per row, bars with a `minus`
//   gducheck_bptt.pt      GradientCheck's rows by key, of `plus`
//   gducheck_ep.pt
//   gducheck_ep_minus.pt  with a `minus`
//   estimates.pt          IntegratedEstimate() of the weights: bptt.<key>,
//                         ep.<key> and, with a `minus`, ep_minus.<key>
//
// `minus`: the check with the other sign of beta_2, or nullptr. The authors'
// names for the files, BPTT.tar and bptt.tar, would be one file on some disks.
// Each file is replaced as a whole. Errors name the file or the folder.
absl::Status WriteGradientCheck(const std::string& folder,
                                const GradientCheck& plus,
                                const GradientCheck* minus,
                                const GradientCheckPage& page);

// The page alone.
std::string RenderGradientCheck(const GradientCheck& plus,
                                const GradientCheck* minus,
                                const GradientCheckPage& page);

}  // namespace altprop::eqprop

#endif  // EQPROP_GRADIENT_CHECK_REPORT_H_
