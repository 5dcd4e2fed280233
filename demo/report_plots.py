"""report_plots.py - small plots as inline SVG. Colours come from the CSS variables of the page, so that
they follow its light or dark theme. SPDX-License-Identifier: Apache-2.0"""
import html
import math

WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 16, 46


def short(value):
    """12345 -> 12.3k"""
    if value >= 999500:
        return f"{value / 1e6:.3g}M"
    if value >= 1000:
        return f"{value / 1e3:.3g}k"
    return f"{value:.3g}"


def ticks(low, high, count=5):
    """About `count` round numbers from low to high."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10 ** math.floor(math.log10(span / count))
    for factor in (1, 2, 2.5, 5, 10):
        if span / (step * factor) <= count:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, int(math.floor(high / step + 1e-9)) + 1)]


class Axes:
    """A frame with grid lines; x and y turn values into pixels."""

    def __init__(self, x_range, y_range, x_label, y_label, x_text=short, y_text=short):
        self.x0, self.x1 = x_range
        self.y0, self.y1 = y_range
        self.parts = []
        for value in ticks(self.y0, self.y1):
            y = self.y(value)
            self.parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                              f'y1="{y:.1f}" y2="{y:.1f}"/>'
                              f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" '
                              f'text-anchor="end">{y_text(value)}</text>')
        for value in ticks(self.x0, self.x1, 6):
            x = self.x(value)
            self.parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" '
                              f'text-anchor="middle">{x_text(value)}</text>')
        self.parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                          f'y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
        self.parts.append(f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" '
                          f'text-anchor="middle">{html.escape(x_label)}</text>')
        self.parts.append(f'<text class="label" transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) '
                          f'rotate(-90)" text-anchor="middle">{html.escape(y_label)}</text>')

    def x(self, value):
        share = (value - self.x0) / ((self.x1 - self.x0) or 1)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        share = (value - self.y0) / ((self.y1 - self.y0) or 1)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def line(self, points, css, area=False):
        path = " ".join(f"{'L' if i else 'M'}{self.x(x):.1f} {self.y(y):.1f}"
                        for i, (x, y) in enumerate(points))
        if area:
            base = HEIGHT - BOTTOM
            self.parts.append(f'<path class="area {css}" d="{path} L{self.x(points[-1][0]):.1f} {base} '
                              f'L{self.x(points[0][0]):.1f} {base} Z"/>')
        self.parts.append(f'<path class="line {css}" d="{path}"/>')

    def dot(self, x, y, css, title):
        self.parts.append(f'<circle class="dot {css}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4.5">'
                          f"<title>{html.escape(title)}</title></circle>")

    def text(self, x, y, text, css="note", anchor="start", dx=0, dy=0):
        self.parts.append(f'<text class="{css}" x="{self.x(x) + dx:.1f}" y="{self.y(y) + dy:.1f}" '
                          f'text-anchor="{anchor}">{html.escape(text)}</text>')

    def svg(self, title):
        return (f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
                + "".join(self.parts) + "</svg>")


def ingest(timeline, rows):
    """Rows accepted and rows in the graph over time."""
    points = [(0.0, 0, 0)] + [tuple(p) for p in timeline]
    end = points[-1][0] or 1
    axes = Axes((0, end * 1.02), (0, rows * 1.08), "seconds", "images", x_text=lambda v: f"{v:g}")
    axes.line([(t, i) for t, _, i in points], "b", area=True)
    axes.line([(t, a) for t, a, _ in points], "a")
    done = next((t for t, a, _ in points if a >= rows), end)
    axes.text(done, rows, "accepted", "note a", dx=6, dy=-6)
    axes.text(end, rows * 0.06, "in the graph", "note b", "end", dx=-10)
    return axes.svg("Rows accepted and indexed over time")


def curve(points):
    """Queries a second against recall, one point an ef. points: (recall, qps, ef)."""
    points = sorted(points)
    low = math.floor(min(p[0] for p in points) * 50) / 50
    top = max(p[1] for p in points) * 1.12
    axes = Axes((min(low, 0.98), 1.0), (0, top), "recall@10", "queries/s, one thread",
                x_text=lambda v: f"{v:.3g}")
    axes.line([(r, q) for r, q, _ in points], "a")
    last = None
    for recall, qps, ef in points:
        axes.dot(recall, qps, "a", f"ef {ef}: recall {recall:.4f}, {qps:,.0f} queries/s")
        at = (axes.x(recall), axes.y(qps))
        if last is None or math.dist(at, last) > 30:
            axes.text(recall, qps, f"ef {ef}", "note", "end", dx=-8, dy=14)
            last = at
    return axes.svg("Queries a second against recall")


def bars(groups, series, y_label):
    """Groups of bars. groups: names; series: (name, css, values)."""
    top = max(max(values) for _, _, values in series) * 1.15
    axes = Axes((0, len(groups)), (0, top), "", y_label, x_text=lambda v: "")
    room = 0.78 / len(series)
    for g, name in enumerate(groups):
        for s, (label, css, values) in enumerate(series):
            left = axes.x(g + 0.11 + s * room)
            width = axes.x(g + 0.11 + (s + 1) * room) - left - 4
            y = axes.y(values[g])
            axes.parts.append(f'<rect class="bar {css}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" '
                              f'height="{HEIGHT - BOTTOM - y:.1f}" rx="3"><title>'
                              f"{html.escape(label)}: {values[g]:,.0f}</title></rect>"
                              f'<text class="value" x="{left + width / 2:.1f}" y="{y - 5:.1f}" '
                              f'text-anchor="middle">{short(values[g])}</text>')
        axes.parts.append(f'<text class="label" x="{axes.x(g + 0.5):.1f}" y="{HEIGHT - BOTTOM + 20}" '
                          f'text-anchor="middle">{html.escape(name)}</text>')
    legend = "".join(f'<span class="key {css}">{html.escape(label)}</span>' for label, css, _ in series)
    return axes.svg(y_label) + f'<p class="legend">{legend}</p>'
