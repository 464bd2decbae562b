// //iterbin:main_imagenet_float: trains the real-valued ResNet-21 on ImageNet.

#include "common/cli/main.h"
#include "iterbin/imagenet.h"

int main(int argc, char** argv) {
  namespace iterbin = altprop::iterbin;
  return altprop::cli::Main(
      argc, argv, iterbin::ImageNetProgram(/*binary=*/false),
      [](const altprop::cli::ParsedArguments& arguments) {
        return iterbin::ImageNetMain(arguments, /*binary=*/false);
      });
}
