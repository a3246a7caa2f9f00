"""Writes `scalars.tfevents` with TensorBoard's own messages and framing, for the test of r1x's: tensorboard 2.21.0.

    python scalars.py scalars.tfevents
"""

import sys

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

events = [Event(wall_time=1764547200.0, file_version="brain.Event:2")]
for step, values in [
    (0, [("rl/reward.mean", 0.25), ("rl/loss", -1.5e-7)]),
    (1, [("rl/reward.mean", float("nan")), ("rl/loss", float("inf"))]),
    (300, [("eval/héldout/pass@1", 1 / 3)]),
]:
    event = Event(wall_time=1764547200.5 + step, step=step)
    for tag, value in values:
        event.summary.value.add(tag=tag, simple_value=value)
    events.append(event)

with open(sys.argv[1], "wb") as file:
    writer = RecordWriter(file)
    for event in events:
        writer.write(event.SerializeToString())
    writer.flush()
