// The networks of the recordings, filled from the number sequence.

#ifndef FTPROP_NETWORK_TEST_UTIL_H_
#define FTPROP_NETWORK_TEST_UTIL_H_

#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "ftprop/network.h"
#include "ftprop/nonlinearity.h"

namespace altprop::ftprop {

// By the recordings' name: "convnet4_bn_mnist", "convnet8_bn_svhn",
// "alexnet_drf", "resnet18_imagenet".
NetworkSpec SpecOf(const std::string& name);

Threshold ThresholdOf(const std::string& nonlin, const std::string& rule,
                      bool scaled = true);

// In float64; its parameters require gradients.
Network MakeFilled(const NetworkSpec& spec, const Threshold& threshold);

// Four samples (two for the ImageNet ResNet): twice the sequence of seed 1000;
// sample i has label 3 i modulo the classes.
struct Fixture {
  at::Tensor x, labels;
};
Fixture FixtureOf(const NetworkSpec& spec);

// One per parameter, in the state's order.
std::vector<at::Tensor> Gradients(const Network& network,
                                  const at::Tensor& loss);

}  // namespace altprop::ftprop

#endif  // FTPROP_NETWORK_TEST_UTIL_H_
