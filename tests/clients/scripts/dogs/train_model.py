"""Train the final model with the best hyperparameters, and keep what happened in each epoch."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--batch-size", type=int, default=4)
parser.add_argument("--lr", type=float, default=0.001)
parser.add_argument("--hosts", type=list, default=json.loads(os.environ["SM_HOSTS"]))
parser.add_argument("--num-gpus", type=int, default=os.environ["SM_NUM_GPUS"])
args, _ = parser.parse_known_args()

device = torch.device("cuda" if torch.cuda.is_available() and args.num_gpus else "cpu")
logger.info("Running on device %s, hosts %s", device, args.hosts)

data_dir = os.environ["SM_CHANNEL_TRAINING"]
steps = [transforms.Resize(64), transforms.CenterCrop(64), transforms.ToTensor()]
image_datasets = {
    "train": datasets.ImageFolder(data_dir + "/train", transforms.Compose([transforms.RandomHorizontalFlip(), *steps])),
    "valid": datasets.ImageFolder(data_dir + "/valid", transforms.Compose(steps)),
}
loaders = {
    phase: DataLoader(dataset, batch_size=args.batch_size, shuffle=phase == "train")
    for phase, dataset in image_datasets.items()
}

model = models.resnet18(weights=None)
model.fc = nn.Sequential(
    nn.Linear(model.fc.in_features, 16), nn.ReLU(), nn.Linear(16, len(image_datasets["train"].classes))
)
model = model.to(device)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)

history = []
for epoch in range(1, args.epochs + 1):
    losses = {}
    for phase in ["train", "valid"]:
        model.train(phase == "train")
        total = 0.0
        for images, labels in loaders[phase]:
            images, labels = images.to(device), labels.to(device)
            with torch.set_grad_enabled(phase == "train"):
                loss = criterion(model(images), labels)
            if phase == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            total += loss.item() * len(images)
        losses[phase] = total / len(image_datasets[phase])
        logger.info("%s_loss: %.4f", phase, losses[phase])
    history.append(losses)
    logger.info("epoch %d of %d is done", epoch, args.epochs)

Path(os.environ["SM_OUTPUT_DATA_DIR"], "history.json").write_text(json.dumps(history))
torch.save(model.cpu(), os.environ["SM_MODEL_DIR"] + "/model.pth")
