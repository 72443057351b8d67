"""A beginner's training script: a frozen ResNet-50 with a head of two layers; every photo goes through it every epoch.

python train.py DATA LEARNING_RATE BATCH_SIZE EPOCHS
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, models, transforms

NORMAL = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
TRAINING = transforms.Compose(
    [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), NORMAL]
)
TESTING = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMAL])


def network(classes: int) -> Any:
    """ResNet-50 whose last layer is replaced by 2048-128-classes, the only part that learns."""
    model = models.resnet50(weights=None)  # the time does not depend on the weights
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = nn.Sequential(nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, classes))
    return model


def main(data: Path, learning_rate: float, batch_size: int, epochs: int) -> None:
    """Trains and prints the accuracy on the valid photos after each epoch."""
    train = datasets.ImageFolder(str(data / "train"), TRAINING)
    loaders = {
        "train": DataLoader(train, batch_size=batch_size, shuffle=True),
        "valid": DataLoader(datasets.ImageFolder(str(data / "valid"), TESTING), batch_size=batch_size),
    }
    model = network(len(train.classes))
    optimizer = torch.optim.Adam(model.fc.parameters(), lr=learning_rate)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        right = 0
        with torch.no_grad():
            for images, labels in loaders["valid"]:
                right += int((model(images).argmax(1) == labels).sum())
        print(f"epoch {epoch}: {right} right", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
