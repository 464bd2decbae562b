// A Value as JSON, to compare with what another program read.
#ifndef COMMON_TRAINING_DESCRIBE_VALUE_H_
#define COMMON_TRAINING_DESCRIBE_VALUE_H_

#include <nlohmann/json.hpp>

#include "common/training/value.h"

namespace altprop::training {

// A tensor is {"tensor": [dtype, shape, CRC-32 of its bytes]}, a dictionary
// {"dict": [[key, value], ...]} in its order, a real number {"real": its IEEE
// 754 bits in hex}, a string that is not UTF-8 {"bytes": hex}, all else itself.
nlohmann::ordered_json DescribeValue(const Value& value);

}  // namespace altprop::training

#endif  // COMMON_TRAINING_DESCRIBE_VALUE_H_
