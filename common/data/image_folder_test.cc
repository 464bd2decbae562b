#include "common/data/image_folder.h"

#include <filesystem>  // NOLINT(build/c++17)
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/data/test_status.h"
#include "common/testing/files.h"
#include "gtest/gtest.h"

namespace altprop::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

// Files below a new folder; their contents are not looked at here.
std::string Tree(const std::vector<std::string>& files) {
  const std::string root = testing::NewFolder("images");
  for (const std::string& file : files) {
    const std::string path = absl::StrCat(root, "/", file);
    fs::create_directories(fs::path(path).parent_path());
    testing::WriteFile(path, "x");
  }
  return root;
}

absl::StatusOr<ImageFolder> Read(const std::string& root,
                                 const std::string& name = "folder") {
  return ReadImageFolder({.name = name, .root = root});
}

std::vector<std::string> Paths(const ImageList& list, const std::string& root) {
  std::vector<std::string> paths;
  for (int64_t i = 0; i < list.size(); ++i) {
    paths.push_back(list.path(i).substr(root.size() + 1));
  }
  return paths;
}

std::vector<int64_t> Labels(const ImageList& list) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < list.size(); ++i) labels.push_back(list.label(i));
  return labels;
}

TEST(ReadImageFolder, NumbersClassesByName) {
  const std::string root =
      Tree({"train/dog/2.png", "train/dog/10.JPG", "train/ant/b.jpeg",
            "train/Cat/a.JPEG", "val/dog/x.jpg", "val/ant/y.jpg"});
  const auto folder = Read(root);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->name, "folder");
  EXPECT_EQ(folder->train.classes(), 3);
  EXPECT_THAT(folder->train.class_names(), ElementsAre("Cat", "ant", "dog"));
  EXPECT_THAT(Paths(folder->train, root),
              ElementsAre("train/Cat/a.JPEG", "train/ant/b.jpeg",
                          "train/dog/10.JPG", "train/dog/2.png"));
  EXPECT_THAT(Labels(folder->train), ElementsAre(0, 1, 2, 2));
  // val's labels are train's numbers, also where it lacks a class.
  EXPECT_THAT(Paths(folder->val, root),
              ElementsAre("val/ant/y.jpg", "val/dog/x.jpg"));
  EXPECT_THAT(Labels(folder->val), ElementsAre(1, 2));
  EXPECT_EQ(folder->val.classes(), 3);
}

// As torchvision walks a class: a folder's files, then those below it.
TEST(ReadImageFolder, ReadsNestedFoldersInOrder) {
  const std::string root =
      Tree({"train/a/z.jpg", "train/a/images/1.jpg", "train/a/images/0.jpg",
            "train/a/b/c/2.jpg", "val/a/0.jpg"});
  const auto folder = Read(root);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(Paths(folder->train, root),
              ElementsAre("train/a/z.jpg", "train/a/b/c/2.jpg",
                          "train/a/images/0.jpg", "train/a/images/1.jpg"));
}

TEST(ReadImageFolder, LeavesOutWhatIsNoImage) {
  const std::string root =
      Tree({"train/a/0.jpg", "train/a/boxes.txt", "train/a/.hidden.jpg",
            "train/.git/x.jpg", "train/readme.txt", "val/a/0.jpg"});
  const auto folder = Read(root);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->train.size(), 1);
  EXPECT_EQ(folder->train.classes(), 1);
}

TEST(ReadImageFolder, KeepsTheFirstSoMany) {
  const std::string root =
      Tree({"train/a/0.jpg", "train/a/1.jpg", "train/b/2.jpg", "val/a/0.jpg",
            "val/b/1.jpg"});
  const auto folder = ReadImageFolder(
      {.name = "folder", .root = root, .limit_train = 2, .limit_val = 1});
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(folder->train.size(), 2);
  EXPECT_EQ(folder->train.classes(), 2);
  EXPECT_EQ(folder->val.size(), 1);
}

TEST(ReadImageFolder, FindsTheOfficialFolderBelowTheRoot) {
  const std::string root =
      Tree({"tiny-imagenet-200/train/n1/images/n1_0.JPEG",
            "tiny-imagenet-200/val/n1/0.JPEG", "imagenet/train/n2/a.JPEG",
            "imagenet/val/n2/a.JPEG", "imagenet/test/n2/b.JPEG"});
  EXPECT_TRUE(Read(root, "tiny-imagenet").ok());
  const auto imagenet =
      ReadImageFolder({.name = "ImageNet", .root = root, .val = "test"});
  ASSERT_TRUE(imagenet.ok()) << imagenet.status();
  EXPECT_EQ(imagenet->name, "imagenet");
  EXPECT_EQ(imagenet->val.path(0), root + "/imagenet/test/n2/b.JPEG");
}

TEST(ReadImageFolder, ReadsTinyImageNetsAnnotations) {
  const std::string root =
      Tree({"train/n2/images/n2_0.JPEG", "train/n2/n2_boxes.txt",
            "train/n1/images/n1_0.JPEG", "val/images/val_0.JPEG",
            "val/images/val_1.JPEG", "val/images/val_10.JPEG"});
  const std::string file = root + "/val/val_annotations.txt";
  const auto write = [&](const std::string& text) {
    testing::WriteFile(file, text);
    return Read(root, "tiny_imagenet");
  };
  const auto folder = write(
      "val_1.JPEG\tn1\t0\t0\t62\t57\nval_0.JPEG\tn2\t1\t2\t3\t4\r\n"
      "val_10.JPEG\tn2\t0\t0\t9\t9\n");
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(Paths(folder->val, root + "/val/images"),
              ElementsAre("val_0.JPEG", "val_1.JPEG", "val_10.JPEG"));
  EXPECT_THAT(Labels(folder->val), ElementsAre(1, 0, 1));
  EXPECT_THAT(Labels(folder->train), ElementsAre(0, 1));

  EXPECT_THAT(write("val_0.JPEG\tn3\t0\n"),
              FailsWith(file + ": line 1: class 'n3' is not in train"));
  EXPECT_THAT(
      write("val_0.JPEG\tn1\nval_1.JPEG n1\n"),
      FailsWith(file + ": line 2: expected a file, a tab and its class"));
  EXPECT_THAT(write("val_0.JPEG\tn1\nval_0.JPEG\tn1\n"),
              FailsWith(file + ": line 2: val_0.JPEG a second time"));
  EXPECT_THAT(write("val_0.JPEG\tn1\n"),
              FailsWith(file + ": no line for images/val_1.JPEG"));
  EXPECT_THAT(
      write("val_0.JPEG\tn1\nval_1.JPEG\tn1\nval_10.JPEG\tn1\nv.JPEG\tn1\n"),
      FailsWith(root + "/val/images/v.JPEG: named in val_annotations.txt but "
                       "not there"));
}

TEST(ReadImageFolder, SaysWhatIsMissing) {
  const std::string root = Tree({"other/a/0.jpg"});
  EXPECT_THAT(Read(root), FailsWith(root + ": no folder train/ (folder) here "
                                           "or in folder"));
  EXPECT_THAT(Read(root, "svhn"),
              FailsWith("svhn: no such data set of image files, expected "
                        "folder, tiny_imagenet, imagenet"));
  EXPECT_THAT(Read(""), FailsWith("--data_root is not set: expected the folder "
                                  "of folder with train/ and val/"));
  const std::string no_val = Tree({"train/a/0.jpg"});
  EXPECT_THAT(Read(no_val), FailsWith(no_val + "/val: no such folder"));
  const std::string flat = Tree({"train/a/0.jpg", "val/0.jpg", "val/1.jpg"});
  EXPECT_THAT(Read(flat),
              FailsWith(flat + "/val: no class folders in it but 2 images: "
                               "sort them into a folder for each class"));
  const std::string empty =
      Tree({"train/a/0.jpg", "train/b/x.txt", "val/a/0.jpg"});
  EXPECT_THAT(Read(empty),
              FailsWith(empty + "/train/b: no JPEG or PNG file in this class"));
}

TEST(ReadImageFolder, RefusesAClassInValAlone) {
  const std::string root =
      Tree({"train/a/0.jpg", "val/a/0.jpg", "val/b/0.jpg"});
  EXPECT_THAT(Read(root), FailsWith(root + "/val/b: this class is not in " +
                                    root + "/train"));
}

TEST(ReadImageFolder, RefusesImagesItCannotRead) {
  const std::string root =
      Tree({"train/a/0.jpg", "train/a/1.WEBP", "val/a/0.jpg"});
  EXPECT_THAT(Read(root),
              FailsWith(root + "/train/a/1.WEBP: an image in a format that is "
                               "not read, expected JPEG or PNG"));
}

TEST(ReadImageFolder, StopsAtALinkThatLeadsBackUp) {
  const std::string root = Tree({"train/a/0.jpg", "val/a/0.jpg"});
  fs::create_directory_symlink(root + "/train/a", root + "/train/a/loop");
  EXPECT_THAT(Read(root), FailsWith(root + "/train/a: folders nested more "
                                           "than 32 deep"));
}

TEST(ImageList, SelectsPositions) {
  const std::string root =
      Tree({"train/a/0.jpg", "train/a/1.jpg", "train/b/2.jpg", "val/a/0.jpg"});
  const auto folder = Read(root);
  ASSERT_TRUE(folder.ok()) << folder.status();
  const ImageList some = folder->train.Select({2, 0});
  EXPECT_THAT(Paths(some, root), ElementsAre("train/b/2.jpg", "train/a/0.jpg"));
  EXPECT_THAT(Labels(some), ElementsAre(1, 0));
  EXPECT_EQ(some.classes(), 2);
  EXPECT_EQ(folder->train.First(100).size(), 3);
  EXPECT_EQ(ImageList().classes(), 0);
}

TEST(IsImageFolder, KnowsTheNames) {
  EXPECT_TRUE(IsImageFolder("folder"));
  EXPECT_TRUE(IsImageFolder("Tiny-ImageNet"));
  EXPECT_TRUE(IsImageFolder("IMAGENET"));
  EXPECT_FALSE(IsImageFolder("mnist"));
}

}  // namespace
}  // namespace altprop::data
