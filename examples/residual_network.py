"""A network of one's own, with branches: `forward` is ordinary Python over `convcore.functional`, traced once.

python examples/residual_network.py
"""

from pathlib import Path

import convcore as cc
from convcore import functional as F
from convcore import nn, optim
from convcore.data import DataLoader, open_dataset


class Block(nn.Module):
    """relu(conv(relu(conv(x))) + x), with batch norm behind each convolution."""

    def __init__(self, channels):
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + x)


class ResidualNetwork(nn.Module):
    """Images (N, 1, 28, 28), bytes, to ten scores (N, 10)."""

    def __init__(self):
        self.normalize = nn.Normalize(mean=0.1307, std=0.3081)
        self.stem = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(Block(16), nn.MaxPool2d(2), Block(16))
        self.head = nn.Sequential(nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(16, 10))

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.stem(self.normalize(x)))))


cc.manual_seed(0)
train, held_out = open_dataset(Path(__file__).parent / "data" / "mnist5k").split(0.1)
model = ResidualNetwork()
model.summary((1, 28, 28), batch_size=64)
optimizer = optim.SGD(lr=0.1, momentum=0.9)
trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optimizer, optim.OneCycleLR(optimizer, max_lr=0.1))
trainer.fit(DataLoader(train, shuffle=True), epochs=6, verbose=True)
print(f"accuracy on digits held out: {trainer.evaluate(DataLoader(held_out))['accuracy']:.2%}")
