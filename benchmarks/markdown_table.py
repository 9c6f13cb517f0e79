"""Tables that can be read as they are and pasted into a page."""

import pandas as pd


def print_table(table: pd.DataFrame, digits: int = 2) -> None:
    """A table in Markdown, without its index: numbers with so many digits, flush right."""
    cells = [[_cell(value, digits) for value in row] for row in table.itertuples(index=False)]
    names = [str(name) for name in table.columns]
    widths = [max(len(row[i]) for row in [names, *cells]) for i in range(len(names))]
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    for row in [names, rule, *cells]:
        aligned = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        print(f"| {' | '.join(aligned)} |")


def _cell(value, digits):
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
