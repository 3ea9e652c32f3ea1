"""The cases of convolutions; cases.py has the other ops'. Channel counts lie around every vector and tile width (4, 8,
16, 32, 64), maps around every tile height.
"""

from case import Case, Shape

TAILS = (1, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 33, 64, 65)

# (channels, channels per group)
NARROW = ((18, 2), (21, 3), (24, 4), (35, 5), (42, 6), (21, 7), (24, 8), (36, 12), (48, 16), (48, 24), (68, 17))


def pair(v: int | tuple[int, int]) -> list[int]:
    return [v, v] if isinstance(v, int) else list(v)


def conv(
    x: Shape,
    o: int,
    kernel: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | str | tuple[int, int, int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: bool = True,
) -> Case:
    kh, kw = pair(kernel)
    weight = (o, x[1] // groups, kw) if len(x) == 3 else (o, x[1] // groups, kh, kw)
    pads = padding if isinstance(padding, str) else [padding] * 4 if isinstance(padding, int) else list(padding)
    settings = {"stride": pair(stride), "padding": pads, "dilation": pair(dilation), "groups": groups}
    return Case("conv2d", (x, weight, (o,) if bias else None), settings)


def conv_cases() -> list[Case]:
    tails = [conv((2, c, 5, 6), 8, 3, padding=1) for c in TAILS]
    tails += [conv((2, 5, 6, 5), o, 3, padding=1) for o in TAILS]
    tails += [conv((1, t, 4, 5), t, 1) for t in TAILS]
    widths = [conv((1, 3, 2, w), 17, 3, padding=1) for w in (1, 2, 3, 5, 6, 7, 11, 12, 13, 14, 15, 25)]
    return [
        *tails,
        *widths,
        # 1x1, also strided: a gather
        conv((2, 16, 7, 7), 24, 1, bias=False),
        conv((2, 16, 7, 7), 24, 1, stride=2),
        conv((2, 3, 5, 5), 7, 1, padding=1),
        # strided, with and without a remainder
        conv((2, 3, 9, 8), 5, 3, stride=2, padding=1),
        conv((1, 4, 11, 13), 6, 3, stride=3),
        conv((1, 4, 11, 13), 6, 2, stride=3),
        conv((1, 5, 10, 9), 3, (3, 5), stride=(2, 1), padding=(1, 1, 2, 2)),
        conv((1, 3, 23, 23), 10, 11, stride=4),
        conv((2, 3, 30, 30), 16, 7, stride=2, padding=3),
        conv((1, 2, 7, 7), 3, 3, stride=(1, 4), padding=1),
        # dilated
        conv((2, 3, 9, 9), 4, 3, dilation=2),
        conv((1, 8, 11, 10), 9, 3, dilation=(2, 3), padding=2),
        conv((1, 4, 12, 12), 5, 3, stride=2, dilation=2, padding=2),
        conv((1, 4, 13, 13), 5, 2, stride=(3, 2), dilation=(2, 3), padding=(1, 0, 2, 1)),
        conv((2, 16, 9, 11), 17, 3, dilation=2, padding=2),
        conv((1, 18, 14, 13), 36, 3, dilation=(2, 3), padding=(1, 4, 3, 2)),
        conv((1, 40, 7, 9), 36, 3, dilation=3, padding=3, groups=2),
        # taps that read mostly, or only, padding
        conv((1, 5, 10, 11), 34, 3, dilation=7, padding=7),
        conv((4, 5, 4, 6), 34, 3, dilation=(7, 3), padding=(7, 6, 3, 5)),
        conv((1, 4, 4, 4), 3, 2, dilation=40, padding=20),
        conv((3, 6, 1, 1), 7, 3, padding=1),
        conv((16, 6, 2, 2), 20, 3, padding=1, groups=2),
        conv((32, 4, 3, 3), 5, 5, padding=2),
        conv((32, 4, 3, 3), 5, 5, stride=2, padding=4),
        conv((4, 3, 1, 9), 5, 3, padding=1),
        conv((1, 2, 24, 24), 3, 24, padding=23),
        # grouped and depthwise, also with a multiplier
        conv((2, 6, 5, 5), 9, 3, padding=1, groups=3),
        conv((2, 32, 6, 6), 64, 3, padding=1, groups=2),
        conv((1, 34, 6, 6), 34, 3, padding=1, groups=2),
        conv((1, 8, 7, 7), 16, 3, stride=2, padding=1, groups=4),
        conv((2, 17, 7, 7), 17, 3, padding=1, groups=17),
        conv((1, 33, 9, 9), 33, 5, stride=2, padding=2, groups=33),
        conv((1, 5, 6, 6), 15, 3, padding=1, groups=5),
        conv((1, 16, 8, 8), 16, 3, padding=2, dilation=2, groups=16, bias=False),
        # narrow groups, several in a vector: whole and straddling ones, more inputs than outputs and fewer, tails
        conv((2, 32, 9, 17), 32, 3, padding=1, groups=8),
        *(conv((1, c, 5, 6), c, 3, padding=1, groups=c // width) for c, width in NARROW),
        conv((2, 32, 6, 5), 16, 3, padding=1, groups=8),
        conv((1, 24, 5, 7), 72, 3, padding=1, groups=12),
        conv((1, 36, 5, 7), 30, 3, stride=2, padding=1, groups=6),
        conv((1, 20, 8, 9), 40, 3, stride=(2, 1), padding=1, groups=20),
        conv((2, 32, 11, 10), 32, 5, padding=2, groups=8),
        conv((1, 32, 9, 10), 32, 3, stride=2, padding=(1, 2, 0, 3), dilation=2, groups=8),
        conv((1, 16, 7, 6), 32, (2, 4), stride=3, groups=4, bias=False),
        conv((1, 16, 3, 2), 16, 3, padding=3, groups=4),
        conv((3, 64, 5, 4), 64, 1, groups=16),
        conv((2, 32, 5, 6), 32, (1, 3), stride=(1, 2), padding=(0, 0, 1, 1), groups=8),
        conv((0, 32, 5, 5), 32, 3, padding=1, groups=8),
        conv((9, 48, 14, 15), 48, 3, padding=1, groups=6),
        # weights of more than a share of the last cache, few pixels in a block, more or fewer by the number of threads
        conv((16, 256, 2, 2), 256, 3, padding=1, bias=False),
        conv((1, 44, 5, 6), 68, (1, 3), stride=2),  # whole panels and a narrower one, both ways
        conv((1, 88, 5, 6), 44, 1, stride=2),
        conv((2, 136, 7, 7), 136, 1, groups=2),
        conv((1, 68, 4, 4), 88, 2, stride=2, bias=False),
        # depthwise: whole tiles, tails of columns and channels, borders, every phase of a stride, blocks of rows
        *(conv((1, 20, 4, w), 20, 3, padding=1, groups=20) for w in (1, 2, 7, 9, 16, 28)),
        *(conv((2, 20, 5, w), 20, 3, stride=2, padding=1, groups=20) for w in (1, 2, 13, 16, 30)),
        *(conv((1, 40, 6, w), 40, 5, stride=s, padding=2, groups=40) for s in (1, 2) for w in (3, 7, 18)),
        *(conv((1, 9, 7, 8), 9, k, padding=k // 2, groups=9) for k in (1, 2, 4, 6, 7, 9)),
        conv((1, 18, 8, 9), 18, 3, stride=2, padding=(0, 0, 1, 1), groups=18),
        conv((1, 18, 9, 8), 18, 5, stride=2, padding=(1, 2, 2, 1), groups=18),
        conv((1, 6, 9, 8), 6, 3, stride=2, padding=(3, 4, 0, 5), groups=6),
        conv((1, 6, 4, 5), 6, 3, padding=5, groups=6),
        conv((1, 6, 3, 4), 6, 5, stride=2, padding=7, groups=6),
        conv((1, 19, 14, 11), 19, 3, stride=3, padding=1, groups=19),
        conv((1, 5, 9, 20), 5, (3, 2), stride=(1, 3), padding=(1, 1, 0, 2), dilation=(2, 5), groups=5),
        conv((1, 17, 9, 11), 17, 3, stride=2, padding=3, dilation=3, groups=17),
        conv((1, 17, 9, 25), 17, 3, padding=2, dilation=(1, 2), groups=17),
        conv((1, 4, 67, 5), 4, 3, padding=1, groups=4),
        conv((1, 4, 70, 6), 4, 5, stride=2, padding=2, groups=4),
        conv((37, 5, 3, 3), 5, 3, padding=1, groups=5),
        # asymmetric padding; valid, same, full
        conv((2, 3, 5, 6), 4, 3, padding=(0, 1, 2, 0)),
        conv((1, 3, 5, 6), 4, 3, stride=2, padding=(2, 0, 0, 1)),
        conv((2, 3, 6, 5), 4, 3, padding="valid"),
        conv((2, 3, 6, 5), 4, (2, 4), padding="same"),
        conv((1, 3, 7, 6), 4, 3, stride=2, padding="same"),
        conv((1, 3, 8, 8), 4, 3, dilation=2, padding="same"),
        conv((2, 3, 4, 5), 4, (3, 2), padding="full"),
        conv((1, 3, 4, 5), 4, 3, dilation=2, padding="full"),
        # kernel larger than the map, map of one pixel, padding beyond the kernel
        conv((2, 3, 2, 3), 4, 5, padding=2),
        conv((1, 1, 1, 1), 1, 1),
        conv((3, 5, 1, 1), 17, 3, padding=1),
        conv((1, 3, 2, 2), 4, 3, padding=4),
        conv((1, 3, 3, 4), 4, (3, 4)),
        # few channels, no bias
        conv((2, 1, 8, 8), 1, 3, bias=False),
        conv((3, 1, 12, 12), 6, 5, padding=2),
        conv((1, 17, 4, 4), 3, 3, padding=1, bias=False),
        # few output channels, as planes: parts of a vector, strided, dilated, more taps than a tile
        *(conv((2, 3, 7, 19), o, 3, padding=1) for o in (1, 2, 3, 4, 5, 6, 7, 8, 9)),
        conv((2, 17, 6, 33), 4, (2, 3), padding=(0, 1, 2, 1)),
        conv((1, 5, 13, 12), 3, 3, dilation=(2, 3), padding=3),
        conv((2, 4, 9, 18), 2, 3, stride=(2, 1), padding=1, bias=False),
        conv((3, 2, 11, 40), 7, (5, 4), stride=(3, 2), padding=(4, 0, 1, 3)),
        # backward-input by rows of several images, one and two panels, rows that no tap reaches
        conv((15, 6, 7, 8), 9, 3),
        conv((3, 20, 7, 9), 16, (2, 3), stride=(3, 2)),
        conv((2, 13, 12, 9), 8, (3, 2), stride=(2, 1), dilation=(3, 1), padding=(1, 4, 0, 1)),
        # backward-weight of long rows, in parts
        conv((1, 2, 3, 2100), 9, 3, padding=1),
        conv((1, 24, 9, 10), 48, (4, 3), stride=2, padding=2),
        # rank 3: H = 1
        conv((2, 3, 11), 5, (1, 3), padding=(0, 0, 1, 1)),
        conv((2, 8, 20), 16, (1, 5), stride=(1, 2), padding=(0, 0, 2, 1), dilation=(1, 2)),
        conv((1, 6, 9), 6, (1, 3), padding="same", groups=6),
        # no images
        conv((0, 3, 5, 5), 4, 3, padding=1),
        conv((0, 6, 9), 4, (1, 3), groups=2),
        conv((0, 6, 5, 5), 6, 3, groups=6),
        # enough work for two threads, in few and many channels, rows and images
        conv((2, 32, 28, 28), 32, 3, padding=1),
        conv((1, 3, 64, 64), 16, 7, stride=2, padding=3),
        conv((1, 64, 28, 28), 128, 1),
        conv((8, 16, 14, 14), 33, 3, padding=1, bias=False),
        conv((1, 256, 4, 4), 200, 3, padding=1),
        conv((1, 48, 30, 31), 48, 3, stride=2, padding=1, groups=48),
        conv((2, 72, 29, 28), 72, 5, padding=2, groups=72),
        # pixels so far apart that few sets of L1 hold them: copied
        conv((2, 256, 20, 19), 256, 7, padding=3, groups=256),
        conv((1, 266, 40, 30), 266, (5, 7), padding=(2, 1, 3, 0), groups=266, bias=False),
        conv((1, 128, 33, 40), 128, 5, padding=4, dilation=2, groups=128),
        conv((2, 64, 17, 17), 64, 3, padding=1, groups=4),
        conv((16, 6, 14, 14), 16, 5),
        # weights so many that they are packed in slices, and pass the caches
        conv((1, 24, 8, 8), 256, 3, stride=2, padding=1),
        conv((1, 250, 3, 3), 243, 3, padding=1),
        # pixels so many that sums over them are cut into blocks
        conv((1, 16, 96, 96), 16, 1),
        conv((2, 18, 60, 60), 20, 3, padding=1),
        conv((1, 12, 5000), 10, (1, 3), padding=(0, 0, 1, 1)),
        # backward-weight in several chunks of tiles, and blocks of either channels
        conv((3, 66, 28, 27), 5, 3, padding=1, bias=False),
        conv((3, 5, 29, 30), 70, 3, padding=(1, 0, 2, 1)),
        # backward-weight in several parts of tiles, of several chunks each; in regions of blocks
        conv((5, 18, 28, 27), 20, 3, padding=1),
        conv((1, 18, 50, 86), 33, 3, padding=1, bias=False),
        conv((2, 70, 6, 5), 130, 3, padding=1),
        # weights used once: slices of long sums on many pixels, few panels, strided rows longer than a block
        conv((1, 600, 14, 14), 260, 1, bias=False),
        conv((1, 512, 14, 14), 64, 1),
        conv((64, 1200, 1, 1), 130, 1),
        conv((1, 80, 1999), 16, 1, stride=2),
        conv((1, 64, 8, 512), 16, 4, stride=4, bias=False),
        # 3x3 of stride 1 in few and many tiles and weights, tiles cut off by edges, padding beyond the kernel
        conv((2, 40, 9, 11), 24, 3, padding=(0, 3, 4, 1)),
        conv((3, 20, 6, 6), 36, 3, padding=5),
        conv((5, 24, 20, 18), 40, 3, padding=1),
        conv((1, 300, 7, 7), 72, 3, padding=1),
        conv((7, 48, 2, 2), 64, 3, padding=1, bias=False),
        conv((2, 36, 9, 10), 40, 3, padding=1, groups=2),
        conv((5, 57, 6, 7), 54, 3, padding=(0, 2, 1, 1), groups=3, bias=False),
    ]


def conv_transpose(
    x: Shape,
    o: int,
    kernel: int | tuple[int, int],
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: bool = True,
) -> Case:
    kh, kw = pair(kernel)
    weight = (x[1], o // groups, kw) if len(x) == 3 else (x[1], o // groups, kh, kw)
    settings = {
        "stride": pair(stride),
        "padding": [padding] * 4 if isinstance(padding, int) else list(padding),
        "output_padding": pair(output_padding),
        "dilation": pair(dilation),
        "groups": groups,
    }
    return Case("conv_transpose2d", (x, weight, (o,) if bias else None), settings)


def conv_transpose_cases() -> list[Case]:
    return [
        *(conv_transpose((1, c, 4, 5), 6, 3, stride=2, padding=1) for c in TAILS),
        *(conv_transpose((1, 6, 4, 5), o, 3, padding=1) for o in TAILS),
        conv_transpose((2, 3, 4, 4), 5, 2, stride=2),
        conv_transpose((2, 3, 4, 4), 5, 2, stride=3),  # holes that no input reaches
        conv_transpose((2, 3, 4, 3), 5, 3, stride=2, padding=1, output_padding=1),
        conv_transpose((1, 4, 5, 4), 6, (3, 4), stride=(3, 2), padding=(1, 0, 2, 1), output_padding=(2, 1)),
        conv_transpose((1, 4, 5, 4), 6, 3, dilation=2, padding=2),
        conv_transpose((1, 20, 9, 8), 17, 3, dilation=(2, 3), padding=2),
        conv_transpose((1, 4, 12, 12), 6, 3, dilation=8, padding=8),
        conv_transpose((1, 4, 5, 4), 6, 3, stride=2, dilation=(3, 2), padding=1, output_padding=(2, 1), bias=False),
        conv_transpose((2, 6, 4, 4), 9, 3, padding=1, groups=3),
        conv_transpose((1, 17, 4, 4), 17, 3, stride=2, padding=1, groups=17),
        conv_transpose((1, 5, 1, 1), 7, 4),
        conv_transpose((1, 5, 3, 3), 7, 1),
        conv_transpose((2, 4, 7), 6, (1, 4), stride=(1, 2), padding=(0, 0, 1, 1)),
        conv_transpose((0, 3, 4, 4), 5, 2, stride=2),
        conv_transpose((2, 32, 14, 14), 16, 4, stride=2, padding=1),
        conv_transpose((1, 64, 16, 16), 33, 3, padding=1),
        conv_transpose((1, 20, 4, 4), 256, 3, padding=1),
    ]
