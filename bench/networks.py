"""Networks for the comparisons, each written once: `nn` is `convcore.nn` or `torch.nn`, which share their names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def lenet5(nn: Any) -> Any:
    """LeNet-5 for 28x28 digits (LeCun et al., 1998) with ReLU and max pooling: 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


def mnist_conv(nn: Any) -> Any:
    """Two convolutions of 32 and 64 channels for 28x28 digits, as in PyTorch's MNIST example."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(),
        nn.Linear(128, 10),
    )  # fmt: skip


def vgg_bn(nn: Any) -> Any:
    """VGG with batch norm for 32x32 images: eight 3x3 convolutions of 64 to 512 channels, a pooling after each pair."""
    layers: list[Any] = []
    channels = 3
    for width in (64, 128, 256, 512):
        for _ in range(2):
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 4, 10))


def _residual_block(nn: Any, channels: int, width: int, stride: int) -> Any:
    """He et al., 2015: two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where shapes change."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.relu = nn.ReLU()
            self.shortcut = nn.Identity()
            if stride > 1 or channels != width:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
                )

        def forward(self, x: Any) -> Any:
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    return Block()


def _resnet(nn: Any, widths: tuple[int, ...], depth: int) -> Any:
    """A residual network for 32x32 images: `depth` blocks of each width, the map halved between widths."""
    layers = [nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
    channels = widths[0]
    for width in widths:
        for i in range(depth):
            layers.append(_residual_block(nn, channels, width, stride=2 if i == 0 and width != widths[0] else 1))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def resnet20(nn: Any) -> Any:
    """ResNet-20 for CIFAR-10 (He et al., 2015): 16, 32, 64 channels."""
    return _resnet(nn, (16, 32, 64), 3)


def resnet18(nn: Any) -> Any:
    """ResNet-18 with a 3x3 stem for 32x32 images: 64 to 512 channels, 11.2 million parameters."""
    return _resnet(nn, (64, 128, 256, 512), 2)


def _inverted_residual(nn: Any, channels: int, width: int, stride: int, expansion: int) -> Any:
    """Sandler et al., 2018: 1x1 expansion, depthwise 3x3, linear 1x1 projection, a shortcut where shapes agree."""
    hidden = channels * expansion
    layers: list[Any] = []
    if expansion > 1:
        layers += [nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()]
    layers += [
        nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False),
        nn.BatchNorm2d(hidden), nn.ReLU6(),
        nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width),
    ]  # fmt: skip
    body = nn.Sequential(*layers)
    if stride > 1 or channels != width:
        return body

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    return Block()


def mobilenet_v2(nn: Any) -> Any:
    """MobileNetV2 (Sandler et al., 2018) for 32x32 images: strides of 1 in the stem and the second stage."""
    stages = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    layers = [nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
    channels = 32
    for expansion, width, count, stride in stages:
        for i in range(count):
            layers.append(_inverted_residual(nn, channels, width, stride if i == 0 else 1, expansion))
            channels = width
    layers += [nn.Conv2d(channels, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10))


@dataclass(frozen=True)
class Network:
    build: Callable[[Any], Any]
    input_shape: tuple[int, int, int]  # (C, H, W)
    batch: int  # the usual one
    classes: int = 10


NETWORKS = {
    "lenet5": Network(lenet5, (1, 28, 28), 64),
    "mnist_conv": Network(mnist_conv, (1, 28, 28), 64),
    "resnet20": Network(resnet20, (3, 32, 32), 128),
    "vgg_bn": Network(vgg_bn, (3, 32, 32), 64),
    "resnet18": Network(resnet18, (3, 32, 32), 64),
    "mobilenet_v2": Network(mobilenet_v2, (3, 32, 32), 64),
}
