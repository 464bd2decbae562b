"""The lock file is complete, and bump rewrites one entry and nothing else."""

import importlib.machinery
import importlib.util
import os
import re
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
_LOADER = importlib.machinery.SourceFileLoader("bump", os.path.join(HERE, "bump"))
bump = importlib.util.module_from_spec(importlib.util.spec_from_loader("bump", _LOADER))
_LOADER.exec_module(bump)

ENTRY = '''ARCHIVES = {
    "one": {
        "version": "1.0",
        "sha256": "aa",
        "apt_sha256": "bb",
        "licence": "MIT",
    },
    "one-more": {
        "version": "1.0",
        "sha256": "aa",
        "licence": "MIT",
    },
}
WHEELS = {}
'''


class LockTest(unittest.TestCase):

  def setUp(self):
    with open(os.path.join(HERE, "lock.bzl")) as file:
      self.text = file.read()
    self.archives, self.wheels = bump.parse(self.text)

  def test_every_pin_says_version_checksum_licence_and_why(self):
    for name, entry in {**self.archives, **self.wheels}.items():
      for key in ("version", "sha256", "licence", "why"):
        self.assertTrue(entry.get(key), "%s has no %s" % (name, key))
      self.assertRegex(entry["sha256"], "^[0-9a-f]{64}$", name)

  def test_every_archive_has_both_routes(self):
    for name, entry in self.archives.items():
      for key in ("url", "strip_prefix", "apt", "apt_file"):
        self.assertTrue(entry.get(key), "%s has no %s" % (name, key))
      self.assertIn("{version", entry["url"], name)

  def test_every_wheel_names_its_repository(self):
    with open(os.path.join(HERE, "deps.bzl")) as file:
      declared = re.findall(r'wheels\(name = "(\w+)"', file.read())
    for name, entry in self.wheels.items():
      self.assertIn(entry["repository"], declared, name)
      self.assertTrue(entry["wheel"].endswith("_x86_64.whl"), name)


class RewriteTest(unittest.TestCase):

  def test_changes_one_entry_only(self):
    text = bump.rewrite(ENTRY, "one", {"version": "2.0", "sha256": "cc"})
    archives, _ = bump.parse(text)
    self.assertEqual(archives["one"]["version"], "2.0")
    self.assertEqual(archives["one"]["sha256"], "cc")
    self.assertEqual(archives["one-more"], {"version": "1.0", "sha256": "aa", "licence": "MIT"})

  def test_drops_and_adds_keys(self):
    text = bump.rewrite(ENTRY, "one", {"apt_sha256": None})
    self.assertNotIn("apt_sha256", bump.parse(text)[0]["one"])
    text = bump.rewrite(text, "one", {"apt_sha256": "dd"})
    self.assertEqual(bump.parse(text)[0]["one"]["apt_sha256"], "dd")

  def test_same_values_leave_the_text_alone(self):
    self.assertEqual(bump.rewrite(ENTRY, "one-more", {"version": "1.0"}), ENTRY)


if __name__ == "__main__":
  unittest.main()
