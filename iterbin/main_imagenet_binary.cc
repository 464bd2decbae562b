// //iterbin:main_imagenet_binary: trains ResNet-21 on ImageNet, layer by layer
// binary.

#include "common/cli/main.h"
#include "iterbin/imagenet.h"

int main(int argc, char** argv) {
  namespace iterbin = altprop::iterbin;
  return altprop::cli::Main(
      argc, argv, iterbin::ImageNetProgram(/*binary=*/true),
      [](const altprop::cli::ParsedArguments& arguments) {
        return iterbin::ImageNetMain(arguments, /*binary=*/true);
      });
}
