"""Records the files beside it: images, and what Pillow and torchvision make of them.

    python3 record.py        (recorded with torchvision 0.26, Pillow 13 on libjpeg-turbo 3.2)

NAME.jpg is decoded by Pillow into NAME.png. The others are made of photo.png:
  eval.png      Resize(40), CenterCrop(32)
  box.png       resized_crop of the box (5, 3, 40, 31: top, left, height, width) to 32 x 32
  enlarged.png  resized_crop of the box (10, 20, 9, 14) to 32 x 32
  wide.png      Resize(20), CenterCrop(16) of wide_photo.jpg
Not made here: triangular*.png (triangular.png resized to a shorter side of 32, its central 28 x 28;
and its box of left 3, top 5, right 29, bottom 17 resized to 28 x 28: Pillow, BILINEAR) and tiny*.png
(tiny.png rotated by so many degrees: torchvision, NEAREST).
"""

import os

import numpy as np
from PIL import Image
from torchvision.transforms import functional as F

HERE = os.path.dirname(os.path.abspath(__file__))


def path(name):
  return os.path.join(HERE, name)


def photo(width, height, seed):
  """Slopes, an edge, a texture and noise."""
  random = np.random.RandomState(seed)
  x, y = np.meshgrid(np.arange(width), np.arange(height))
  planes = [
      128 + 100 * np.sin(x / 9 + y / 17),
      255 * (x / width) * (y / height) + 60 * ((x // 7 + y // 5) % 2),
      200 * ((x - width / 2)**2 + (y - height / 2)**2 < (height / 3)**2) + 20,
  ]
  image = np.stack(planes, axis=2) + random.normal(0, 8, (height, width, 3))
  return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8))


def jpeg(image, name, **options):
  image.save(path(name + ".jpg"), quality=85, **options)


def decoded(name):
  Image.open(path(name + ".jpg")).convert("RGB").save(path(name + ".png"), optimize=True)


def main():
  picture = photo(67, 51, 1)
  for name, sampling in (("444", 0), ("422", 1), ("420", 2)):
    jpeg(picture, "jpeg" + name, subsampling=sampling)
  jpeg(picture, "progressive", subsampling=2, progressive=True)
  jpeg(picture.convert("L"), "grey")
  jpeg(picture.convert("CMYK"), "cmyk")
  for name in ("jpeg444", "jpeg422", "jpeg420", "progressive", "grey", "cmyk"):
    decoded(name)
  jpeg(photo(203, 97, 3), "wide_photo", subsampling=2)

  image = photo(75, 61, 2)
  image.save(path("photo.png"), optimize=True)
  F.center_crop(F.resize(image, 40), 32).save(path("eval.png"))
  F.resized_crop(image, 5, 3, 40, 31, [32, 32]).save(path("box.png"))
  F.resized_crop(image, 10, 20, 9, 14, [32, 32]).save(path("enlarged.png"))
  wide = Image.open(path("wide_photo.jpg"))
  F.center_crop(F.resize(wide, 20), 16).save(path("wide.png"))


if __name__ == "__main__":
  main()
