"""Draws one number of several runs into one picture, an SVG file.

    tools/curves.py --out=FILE [--value=accuracy] [--split=test] NAME=RUN_DIR...

The numbers are those of the runs' metrics.jsonl, one point an epoch. Also prints
them as a table.
"""

import argparse
import html
import json
import math
import os
import sys

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 128, 16, 40
COLOURS = ["#2f66e0", "#d4541b", "#12855f", "#8e3fd1", "#a37708", "#0d7f96"]


class InputError(Exception):
  """What a user can mend; one line."""


def points(run, split, value):
  """[(epoch, number)] of a run's finished epochs; the last of repeated ones."""
  path = os.path.join(run, "metrics.jsonl")
  found = {}
  try:
    with open(path, encoding="utf-8") as lines:
      for number, text in enumerate(lines, 1):
        try:
          line = json.loads(text)
        except ValueError as error:
          raise InputError("%s: line %d is not JSON" % (path, number)) from error
        if line.get("split") == split and value in line:
          found[line["epoch"]] = line[value]
  except OSError as error:
    raise InputError("%s: %s" % (path, error.strerror)) from error
  if not found:
    raise InputError("%s: no \"%s\" of split \"%s\"" % (path, value, split))
  return sorted(found.items())


def ticks(low, high):
  """At most six round numbers that enclose [low, high]."""
  span = high - low or abs(high) or 1
  step = 10.0**math.floor(math.log10(span / 5))
  step = next(step * m for m in (1, 2, 5, 10) if span / (step * m) <= 5)
  first, last = math.floor(low / step), math.ceil(high / step)
  return [step * i for i in range(first, last + 1)]


def draw(runs, value):
  """The SVG text of [(name, points)]."""
  epochs = sorted({x for _, line in runs for x, _ in line})
  numbers = [y for _, line in runs for _, y in line]
  grid = ticks(min(numbers), max(numbers))
  width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

  def x_of(epoch):
    return LEFT + width * (epoch - epochs[0]) / max(1, epochs[-1] - epochs[0])

  def y_of(number):
    return TOP + height * (grid[-1] - number) / (grid[-1] - grid[0])

  out = [
      '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
      'font-family="sans-serif" font-size="13">' % (WIDTH, HEIGHT),
      '<rect width="100%" height="100%" fill="#ffffff"/>',
  ]
  for number in grid:
    y = y_of(number)
    out.append('<path d="M%d %.1fH%d" stroke="#e1e5ea"/>' % (LEFT, y, LEFT + width))
    out.append('<text x="%d" y="%.1f" text-anchor="end" fill="#5a6675">%.6g</text>' %
               (LEFT - 8, y + 4, number))
  for epoch in epochs[::max(1, len(epochs) // 8)]:
    out.append('<text x="%.1f" y="%d" text-anchor="middle" fill="#5a6675">%d</text>' %
               (x_of(epoch), HEIGHT - 20, epoch))
  out.append('<text x="%d" y="%d" text-anchor="middle" fill="#5a6675">epoch</text>' %
             (LEFT + width // 2, HEIGHT - 4))
  for i, (name, line) in enumerate(runs):
    colour = COLOURS[i % len(COLOURS)]
    path = "M" + "L".join("%.1f %.1f" % (x_of(x), y_of(y)) for x, y in line)
    out.append('<path d="%s" fill="none" stroke="%s" stroke-width="2"/>' % (path, colour))
    for x, y in line:
      out.append('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (x_of(x), y_of(y), colour))
    out.append('<text x="%d" y="%d" fill="%s">%s</text>' %
               (LEFT + width + 12, TOP + 16 + 18 * i, colour, html.escape(name)))
  out.append('<title>%s</title></svg>' % html.escape(value))
  return "\n".join(out) + "\n"


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
  parser.add_argument("--out", required=True)
  parser.add_argument("--value", default="accuracy")
  parser.add_argument("--split", default="test")
  parser.add_argument("runs", nargs="+", metavar="NAME=RUN_DIR")
  options = parser.parse_args()
  runs = []
  for run in options.runs:
    name, separator, folder = run.partition("=")
    if not separator:
      parser.error("%s: expected NAME=RUN_DIR" % run)
    runs.append((name, points(folder, options.split, options.value)))
  for name, line in runs:
    print("| %s | %s |" % (name, " | ".join("%.6g" % y for _, y in line)))
  try:
    with open(options.out, "w", encoding="utf-8") as file:
      file.write(draw(runs, options.value))
  except OSError as error:
    raise InputError("%s: %s" % (options.out, error.strerror)) from error


if __name__ == "__main__":
  try:
    main()
  except InputError as error:
    sys.exit("tools/curves.py: %s" % error)
