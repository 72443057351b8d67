"""Fit y = w * x to the points of the channel `points` by gradient descent; each host takes the files it was given."""

import argparse
import importlib
import json
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.01)
parser.add_argument("--steps", type=int, default=20)
parser.add_argument("--start", type=str, default="zero", choices=["zero", "one"])
parser.add_argument("--pause", type=float, default=0.0, help="seconds between two steps")
parser.add_argument("--units", type=str, help="a module that says what the points are measured in")
args = parser.parse_args()

points = []
for path in sorted(Path(os.environ["SM_CHANNEL_POINTS"]).iterdir()):
    points += [tuple(map(float, line.split(","))) for line in path.read_text().splitlines()]
host = os.environ["SM_CURRENT_HOST"]
units = importlib.import_module(args.units).UNITS if args.units else "no units"
print(f"{host} of {os.environ['SM_HOSTS']} has {len(points)} points in {units}", flush=True)

w = {"zero": 0.0, "one": 1.0}[args.start]
for step in range(1, args.steps + 1):
    w -= args.rate * sum(2 * (w * x - y) * x for x, y in points) / len(points)
    loss = sum((w * x - y) ** 2 for x, y in points) / len(points)
    print(f"step={step} loss={loss:.6f};", flush=True)
    time.sleep(args.pause)

result = {"w": w, "points": len(points), "arguments": vars(args)}
Path(os.environ["SM_MODEL_DIR"], f"{host}.json").write_text(json.dumps(result))
