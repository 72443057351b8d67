"""Fit y = w * x as train.py does, by all processes that torchrun starts: each takes its share of the points."""

import argparse
import json
import os
from pathlib import Path

import torch
import torch.distributed

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
args = parser.parse_args()

torch.distributed.init_process_group("gloo")
rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
points = []
for path in sorted(Path(os.environ["SM_CHANNEL_POINTS"]).iterdir()):
    points += [tuple(map(float, line.split(","))) for line in path.read_text().splitlines()]
mine = points[rank::size]
print(f"process {rank} of {size} has {len(mine)} points", flush=True)

w = 0.0
for _ in range(20):
    slope = torch.tensor(sum(2 * (w * x - y) * x for x, y in mine))
    torch.distributed.all_reduce(slope)
    w -= args.rate * slope.item() / len(points)
torch.distributed.destroy_process_group()
if rank == 0:
    result = {"w": w, "processes": size, "master": os.environ["MASTER_ADDR"], "port": os.environ["MASTER_PORT"]}
    Path(os.environ["SM_MODEL_DIR"], "slope.json").write_text(json.dumps(result))
