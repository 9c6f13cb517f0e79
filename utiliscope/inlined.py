"""Figures as text, for pages that are one file."""

import base64
import io

from PIL import Image

_DPI = 150


def inlined(figure) -> tuple[str, int]:
    """A figure as a PNG in base64, and how many pixels wide it is meant to be."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    # 256 colours are plenty for lines and bars, and take a third of the room.
    Image.open(drawn).convert("RGB").quantize(256).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii"), round(figure.get_size_inches()[0] * 96)
