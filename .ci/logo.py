#!/usr/bin/env python
"""The site's two pictures, drawn from the package's own synthetic data:

    python .ci/logo.py           write nbs/images/grid.svg and nbs/images/logo.svg
    python .ci/logo.py --check   exit 1 if they are not what would be written
"""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT))
import numpy as np  # noqa: E402

from cliff_nb.datasets import QuantizedGrid  # noqa: E402
from cliff_nb.plots import cell_colors  # noqa: E402

IMAGES, SIDE, SHOWN = ROOT / 'nbs/images', 250, 1500


def hexed(rgb): return '#' + ''.join(f'{round(255 * v):02x}' for v in rgb)


def panel(points, colors, left):
    "Dots of one colour are one path"
    lo, hi = points.min(0), points.max(0)
    spots = np.round((points - lo) / (hi - lo) * SIDE).astype(int) * [1, -1] + [left, 40 + SIDE]
    names = [hexed(c) for c in colors]
    for name in dict.fromkeys(names):
        path = ''.join(f'M{x} {y}h0' for (x, y), n in zip(spots, names) if n == name)
        yield f'<path d="{path}" stroke="{name}" stroke-width="3" stroke-linecap="round"/>'


def grid(data):
    "Observations, whose cells are bent, and the factors behind them, whose cells are straight"
    yield ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 300" width="640" '
           'font-family="system-ui, sans-serif" font-size="15" fill="none">')
    yield '<rect width="640" height="300" rx="10" fill="#fff"/>'
    for x, title in ((145, 'observed'), (495, 'wanted')): yield f'<text x="{x}" y="25" text-anchor="middle" fill="#333">{title}</text>'
    colors = cell_colors(np.asarray(data.cells()))[:SHOWN]
    yield from panel(np.asarray(data.x)[:SHOWN], colors, 20)
    yield '<path d="M296 165h46m-12 -8l12 8l-12 8" stroke="#333" stroke-width="2"/>'
    yield from panel(np.asarray(data.factors)[:SHOWN], colors, 370)
    yield '</svg>'


def logo(data):
    "The cells of the factors that hold data"
    yield '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
    yield '<rect width="64" height="64" rx="10" fill="#fff"/>'
    cells, found = np.unique(np.asarray(data.cells()), axis=0, return_counts=True)
    for (i, j), color, n in zip(cells, cell_colors(cells), found):
        if n > .002 * found.sum(): yield f'<rect x="{6 + 13 * i}" y="{45 - 13 * j}" width="12" height="12" rx="2" fill="{hexed(color)}"/>'
    yield '</svg>'


if __name__ == '__main__':
    data, stale = QuantizedGrid(n=20_000, support='holes', strength=.5, seed=8), []
    for draw in (grid, logo):
        path, text = IMAGES / f'{draw.__name__}.svg', '\n'.join(draw(data)) + '\n'
        if '--check' not in sys.argv: path.write_text(text, encoding='utf-8')
        elif path.read_text(encoding='utf-8') != text: stale.append(f'{path.name}: not what .ci/logo.py draws')
    sys.exit('\n'.join(stale) or None)
