"""Tests curves.py: what it draws, and what it says of bad input."""

import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "curves.py")
SVG = "{http://www.w3.org/2000/svg}"


def line(split, epoch, accuracy):
  return '{"split":"%s","epoch":%d,"step":1,"accuracy":%s}\n' % (split, epoch, accuracy)


class CurvesTest(unittest.TestCase):

  def setUp(self):
    self.folder = tempfile.mkdtemp()

  def run_of(self, name, text):
    folder = os.path.join(self.folder, name)
    os.makedirs(folder)
    with open(os.path.join(folder, "metrics.jsonl"), "w", encoding="utf-8") as file:
      file.write(text)
    return folder

  def curves(self, *arguments):
    return subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True,
                          text=True, check=False)

  def test_draws_each_run_from_its_test_lines(self):
    rising = self.run_of("a", line("train", 1, .9) + line("test", 1, .25) + line("test", 2, .75))
    falling = self.run_of("b", line("test", 1, .75) + line("test", 2, .25))
    out = os.path.join(self.folder, "c.svg")
    result = self.curves("--out=" + out, "rising <1>=" + rising, "falling=" + falling)
    self.assertEqual(result.returncode, 0, result.stderr)
    self.assertEqual(result.stdout, "| rising <1> | 0.25 | 0.75 |\n| falling | 0.75 | 0.25 |\n")
    svg = xml.etree.ElementTree.parse(out).getroot()
    heights = [float(c.get("cy")) for c in svg.iter(SVG + "circle")]
    self.assertEqual(len(heights), 4)
    self.assertGreater(heights[0], heights[1])
    self.assertEqual(heights, [heights[0], heights[1], heights[1], heights[0]])
    self.assertIn("rising <1>", [t.text for t in svg.iter(SVG + "text")])

  def test_of_a_repeated_epoch_the_last_counts(self):
    run = self.run_of("a", line("test", 1, .1) + line("test", 1, .2))
    result = self.curves("--out=" + os.path.join(self.folder, "c.svg"), "a=" + run)
    self.assertEqual(result.stdout, "| a | 0.2 |\n")

  def test_bad_input_is_one_line(self):
    out = "--out=" + os.path.join(self.folder, "c.svg")
    good = "a=" + self.run_of("good", line("test", 1, .5))
    cases = [
        (("a=" + self.folder,), "No such file"),
        (("a=" + self.run_of("bad", "{\n"),), "line 1 is not JSON"),
        (("a=" + self.run_of("train", line("train", 1, .5)),), 'of split "test"'),
        ((good, "--value=loss"), 'no "loss"'),
        ((good, "--out=" + os.path.join(self.folder, "none", "c.svg")), "No such file"),
    ]
    for arguments, expected in cases:
      result = self.curves(out, *arguments)
      self.assertEqual(result.returncode, 1)
      self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
      self.assertIn(expected, result.stderr)


if __name__ == "__main__":
  unittest.main()
