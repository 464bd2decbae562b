// The orders in which layers become binary: the authors' 80 files, by their
// rules, and files of a user's own.

#ifndef ITERBIN_ORDERS_H_
#define ITERBIN_ORDERS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "iterbin/network.h"
#include "iterbin/schedule.h"

namespace altprop::iterbin {

// What the authors' files of a network are called after: "mlp3", "vgg5", ...
std::string OrderFamily(const std::string& network);

// "forward", "reverse", and
//   mlp3      132, 213, 231, 312: digits are 1-based layers
//   the rest  1 ... L, the forward order rotated left until that layer is
//   first;
//             ascend, the least sensitive layer first; descend, its reverse;
//             random (not resnet21), one fixed permutation
// Ascend and random were found by the authors' experiments, not by a rule.
std::vector<std::string> PublishedTags(const std::string& family);

// Layer indices of a published order; empty for a tag that is not one.
LayerOrder PublishedOrder(const std::string& family, const std::string& tag);

// "vgg5_layers_ascend.json".
std::string OrderFileName(const std::string& family, const std::string& tag);

// The families, in the order of the authors' list.
const std::vector<std::string>& OrderFamilies();

// How many layers a family's networks have.
int64_t LayersOf(const std::string& family);

// The contents of an order file: positions in a JSON list.
std::string OrderFileText(const Network& network, const LayerOrder& order);

// Reads `text`, a JSON list that names each layer once, by position or by
// 1-based number. Errors begin with `file` and name the entry.
absl::StatusOr<LayerOrder> ParseOrder(const std::string& text,
                                      const std::string& file,
                                      const Network& network);

// The order in `file` (as typed; relative to where the user stands). Where
// there is no such file, its name may be that of a published order of this
// network, or a tag, alone or in ./models/; any other path is an error.
absl::StatusOr<LayerOrder> ReadOrder(const std::string& file,
                                     const Network& network);

// Sensitivity to order: `best` are the best validation accuracies of the runs
// in which only that layer is binary, by layer. The least sensitive layer (the
// most accurate run) comes first; equal ones in forward order.
LayerOrder AscendingSensitivity(const std::vector<double>& best);

}  // namespace altprop::iterbin

#endif  // ITERBIN_ORDERS_H_
