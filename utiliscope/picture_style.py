"""What the pictures have in common: colours, names that fit, axes."""

INK, MUTED, FAINT, BLUE, RED = "#1f2933", "#7b8794", "#d9dee4", "#2a6f97", "#c1443c"
CHAINS = ("#2a6f97", "#e09f3e", "#4f9d69", "#9a5fa8", "#c1443c", "#7b8794", "#3fa7a3", "#b5838d")
_LONGEST_NAME = 34


def title(name: str) -> str:
    """How a utility is called in a picture."""
    return "0 (no goal)" if name == "0" else shortened(name)


def shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    """`name`, cut in the middle if it is too long to print in a picture."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 12]} … {name[-9:]}"


def percent(probability: float) -> str:
    """A probability as text."""
    if probability >= 0.0995:
        return f"{100 * probability:.0f} %"
    return f"{100 * probability:.1f} %" if probability >= 0.0005 else "< 0.1 %"


def plain(axes) -> None:
    """Axes without a frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=8.5)
