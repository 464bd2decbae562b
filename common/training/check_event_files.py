#!/usr/bin/env python3
"""Reads a run's TensorBoard event files with the real TensorBoard.

Every value in metrics.jsonl must come back from them, once, under the tag
metric/split, and every histogram must hold the elements that its sums speak of.

    python3 -m venv /tmp/tensorboard
    /tmp/tensorboard/bin/pip install tensorboard
    tools/bazel run //common/training:report_example -- /tmp/example
    /tmp/tensorboard/bin/python common/training/check_event_files.py /tmp/example

Any run directory will do in place of the example.
"""

import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator


def float32(value):
    """A scalar as the event file keeps it; None (not finite) as a NaN."""
    return math.nan if value is None else struct.unpack("f", struct.pack("f", value))[0]


def expected_scalars(run):
    """{tag: [(step, value), ...]} of metrics.jsonl."""
    scalars = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        split, step = entry.pop("split"), entry.pop("step")
        for field in ("epoch", "wall_time"):
            entry.pop(field)
        for name, value in entry.items():
            scalars.setdefault(f"{name}/{split}", []).append((step, float32(value)))
    return scalars


def same(a, b):
    return a == b or (math.isnan(a) and not math.isfinite(b)) or (
        math.isnan(b) and not math.isfinite(a))


def main(directory):
    run = pathlib.Path(directory)
    everything = {event_accumulator.SCALARS: 0, event_accumulator.HISTOGRAMS: 0,
                  event_accumulator.TENSORS: 0}
    events = event_accumulator.EventAccumulator(str(run), size_guidance=everything)
    events.Reload()

    expected = expected_scalars(run)
    tags = events.Tags()
    assert sorted(tags["scalars"]) == sorted(expected), (tags["scalars"], sorted(expected))
    values = 0
    for tag, points in expected.items():
        read = [(event.step, event.value) for event in events.Scalars(tag)]
        assert len(read) == len(points), f"{tag}: {len(read)} events, {len(points)} lines"
        for (step, value), (read_step, read_value) in zip(points, read):
            assert step == read_step and same(value, read_value), (tag, step, value, read_value)
        values += len(points)

    histograms = 0
    for tag in tags["histograms"]:
        for event in events.Histograms(tag):
            histogram = event.histogram_value
            assert sum(histogram.bucket) == histogram.num, (tag, event.step)
            assert histogram.bucket_limit[-1] == histogram.max, (tag, event.step)
            histograms += 1
    print(f"{directory}: {values} scalars in {len(expected)} tags and {histograms} histograms, "
          "as metrics.jsonl has them")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
