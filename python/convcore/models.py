"""Networks, made of library layers, so that their files need no code."""

from __future__ import annotations

from collections.abc import Sequence

from . import nn


def lenet5(
    num_classes: int = 10, *, mean: float | Sequence[float] = 0.1307, std: float | Sequence[float] = 0.3081
) -> nn.Sequential:
    """LeNet-5 with ReLU and max pooling, for images (N, 1, 28, 28), uint8 or float32 in [0, 255]; 61,706 parameters.

    mean, std: of the data's pixels in [0, 1]; MNIST's by default. Returns logits (N, num_classes).
    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition".
    """
    return nn.Sequential(
        nn.Normalize(mean, std),
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def resnet20(
    num_classes: int = 10,
    in_channels: int = 3,
    width: int = 16,
    *,
    depth: int = 3,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
) -> nn.Sequential:
    """The ResNet for CIFAR-10's 32x32 images: three stages of `depth` basic blocks, of width, 2 and 4 width channels.

    Input (N, in_channels, H, W), uint8 or float32 in [0, 255]. Returns logits (N, num_classes). depth=3 is ResNet-20.
    Source: He et al., "Deep Residual Learning for Image Recognition", section 4.2, with projection shortcuts.
    """
    layers: list[nn.Module] = [nn.Normalize(mean, std), *_conv_norm(in_channels, width, 3), nn.ReLU()]
    channels = width
    for stage in range(3):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            layers.append(_basic_block(channels, width << stage, stride))
            channels = width << stage
    return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Flatten(), nn.Linear(channels, num_classes))


def _basic_block(in_channels: int, out_channels: int, stride: int) -> nn.Residual:
    body = nn.Sequential(
        *_conv_norm(in_channels, out_channels, 3, stride), nn.ReLU(), *_conv_norm(out_channels, out_channels, 3)
    )
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else nn.Sequential(*_conv_norm(in_channels, out_channels, 1, stride))
    return nn.Residual(body, shortcut, nn.ReLU())


def _conv_norm(in_channels: int, out_channels: int, size: int, stride: int = 1) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(out_channels)
