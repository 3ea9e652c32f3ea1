"""Cases of lstm: directions, layouts, every optional input but lengths, widths around the vectors'."""

from typing import Any

from case import Case


def lstm(
    time: int, batch: int, inputs: int, hidden: int, optional: str = "bhcp", layout: int = 0, **attributes: Any
) -> Case:
    """optional: bias, initial hidden and cell states, peepholes."""
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    state = (batch, directions, hidden) if layout else (directions, batch, hidden)
    shapes: list[tuple[int, ...] | None] = [
        (batch, time, inputs) if layout else (time, batch, inputs),
        (directions, 4 * hidden, inputs),
        (directions, 4 * hidden, hidden),
        (directions, 8 * hidden) if "b" in optional else None,
        None,
        state if "h" in optional else None,
        state if "c" in optional else None,
        (directions, 3 * hidden) if "p" in optional else None,
    ]
    return Case("lstm", tuple(shapes), attributes | ({"layout": layout} if layout else {}), scale=0.6)


LSTM_CASES = [
    *(lstm(4, 3, 5, hidden) for hidden in (1, 3, 4, 7, 8, 9, 16, 17, 33)),
    *(lstm(4, 3, 5, 6, layout=layout, direction=d) for layout in (0, 1) for d in ("reverse", "bidirectional")),
    *(lstm(3, 2, 4, 5, optional) for optional in ("", "b", "hc", "p")),
    lstm(1, 1, 3, 4),
    lstm(6, 1, 9, 40, layout=1),
    lstm(5, 2, 4, 6, clip=0.3),
    lstm(5, 2, 4, 6, input_forget=True),
    lstm(5, 2, 4, 6, gates="ifco"),
    lstm(8, 3, 30, 50, direction="bidirectional"),
    lstm(3, 0, 4, 5),
    lstm(0, 2, 4, 5),
]
