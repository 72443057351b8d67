import torch

from head import AdamW


def test_optimizes_as_torchs_adamw_does() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.zeros(5, 3, requires_grad=True), torch.zeros(5, 3, requires_grad=True)
    inputs, targets = torch.randn(40, 5), torch.randn(40, 3)
    optimizer = AdamW([ours], 0.05, 0.1)
    reference = torch.optim.AdamW([theirs], 0.05, weight_decay=0.1)
    for _ in range(20):
        optimizer.step(list(torch.autograd.grad((inputs @ ours - targets).square().mean(), [ours])))
        reference.zero_grad()
        torch.autograd.backward((inputs @ theirs - targets).square().mean())
        reference.step()
    torch.testing.assert_close(ours, theirs)
