"""Train a dog classifier; the hyperparameters come from a tuning job."""

import argparse
import os
from typing import Any

import torch
import torchvision
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import transforms


def test(model: Any, loader: Any, criterion: nn.Module) -> None:
    model.eval()
    loss_sum = 0.0
    right = 0
    for inputs, labels in loader:
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        _, preds = torch.max(outputs, 1)
        loss_sum += loss.item() * inputs.size(0)
        right += int(torch.sum(preds == labels))
    count = len(loader.dataset)
    print(f"Testing Loss: {loss_sum / count:.4f}")
    print(f"Testing Accuracy: {100.0 * right / count:.1f}")


def train(model: Any, loader: Any, criterion: nn.Module, optimizer: optim.Optimizer) -> Any:
    model.train()
    for step, (inputs, labels) in enumerate(loader):
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
        print(f"step {step}: training loss {loss.item():.4f}")
    return model


def net(num_classes: int) -> Any:
    model = torchvision.models.resnet18(weights=None)
    model.fc = nn.Linear(model.fc.in_features, num_classes)
    return model


def create_data_loaders(data: str, batch_size: int) -> tuple[Any, Any]:
    transform = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    trainset = torchvision.datasets.ImageFolder(data + "/train", transform=transform)
    testset = torchvision.datasets.ImageFolder(data + "/test", transform=transform)
    return DataLoader(trainset, batch_size=batch_size, shuffle=True), DataLoader(testset, batch_size=batch_size)


def main(args: argparse.Namespace) -> None:
    print(f"lr {args.learning_rate}, batch size {args.batch_size}, photos in {args.data}")
    train_loader, test_loader = create_data_loaders(args.data, args.batch_size)
    model = net(len(train_loader.dataset.classes))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.fc.parameters(), lr=args.learning_rate)

    train(model, train_loader, criterion, optimizer)
    test(model, test_loader, criterion)

    print("saving the model")
    torch.save(model.state_dict(), args.model_dir + "/model.pth")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--data", type=str, default=os.environ["SM_CHANNEL_TRAINING"])
    parser.add_argument("--model_dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output_dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    main(parser.parse_args())
