"""report_page.py - the page of the demo: one file, no scripts, nothing loaded from elsewhere.
SPDX-License-Identifier: Apache-2.0"""
import html

import report_films
import report_plots
import report_png

STYLE = """
:root { --bg: #f6f7f9; --card: #fff; --ink: #1d2129; --soft: #5c6470; --line: #e3e6eb; --a: #2d6cdf;
  --b: #14a37f; --c: #d97a1d; --bad: #d64541; --shade: 0 1px 2px #0f172a0d, 0 8px 24px #0f172a0f; }
@media (prefers-color-scheme: dark) { :root { --bg: #10131a; --card: #191e28; --ink: #e8ebf0;
  --soft: #98a2b3; --line: #2b3240; --a: #6ea1ff; --b: #3ccfa4; --c: #f0a04b; --bad: #ff7b72;
  --shade: 0 0 0 1px #2b3240; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 48px 24px 64px; }
h1 { font-size: 34px; line-height: 1.15; margin: 0 0 8px; letter-spacing: -.02em; }
h2 { font-size: 17px; margin: 0 0 2px; letter-spacing: -.01em; }
p { margin: 0 0 12px; } .soft { color: var(--soft); } .lead { font-size: 18px; color: var(--soft);
  max-width: 760px; margin-bottom: 28px; }
.grid2 { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 20px; }
.card { background: var(--card); border-radius: 14px; padding: 22px 24px; box-shadow: var(--shade); }
.card > .soft { font-size: 14px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 14px;
  margin-bottom: 20px; }
.figure { background: var(--card); border-radius: 14px; padding: 18px 20px; box-shadow: var(--shade); }
.figure b { display: block; font-size: 30px; line-height: 1.15; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; }
.figure span { font-size: 13.5px; color: var(--soft); }
svg { width: 100%; height: auto; display: block; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .label { font-size: 12.5px; } svg .value { fill: var(--ink); font-weight: 600; }
svg .grid { stroke: var(--line); } svg .axis { stroke: var(--soft); stroke-opacity: .6; }
svg .line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
svg .line.a { stroke: var(--a); } svg .line.b { stroke: var(--b); }
svg .area { fill: var(--b); fill-opacity: .14; stroke: none; } svg .dot { fill: var(--card); stroke-width: 2.5; }
svg .dot.a { stroke: var(--a); } svg .bar.a { fill: var(--a); } svg .bar.b { fill: var(--b); }
svg .bar.c { fill: var(--c); } svg .note.a { fill: var(--a); font-weight: 600; }
svg .note.b { fill: var(--b); font-weight: 600; }
.legend { font-size: 13.5px; color: var(--soft); margin: 6px 0 0; }
.key::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px;
  margin: 0 6px 0 0; background: currentColor; } .key { margin-right: 18px; } .key.a::before { color: var(--a); }
.key.b::before { color: var(--b); } .key.c::before { color: var(--c); }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 10px; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
.wide { margin-top: 20px; overflow-x: auto; }
.row { display: grid; grid-template-columns: repeat(9, 1fr); gap: 16px; align-items: start;
  padding: 16px 4px; border-bottom: 1px solid var(--line); min-width: 760px; } .row:last-child { border: 0; }
figure { margin: 0; text-align: center; } figure img { width: 100%; aspect-ratio: 1; image-rendering: pixelated;
  border-radius: 8px; display: block; filter: invert(1); background: #000;
  box-shadow: 0 0 0 1px #1d1a16; } /* inverted: a light line */
@media (prefers-color-scheme: dark) { figure img { filter: none; box-shadow: 0 0 0 1px var(--line); } }
figure span { display: block; border-radius: 9px; }
figure.query span { outline: 3px solid var(--a); outline-offset: 2px; }
figure.other span { outline: 2px solid var(--bad); outline-offset: 1px; }
figcaption { font-size: 12px; color: var(--soft); margin-top: 6px; } figure.other figcaption { color: var(--bad); }
code { font: 13.5px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--bg);
  padding: 2px 6px; border-radius: 6px; } pre { background: var(--bg); border-radius: 10px; padding: 14px 16px;
  overflow-x: auto; margin: 10px 0 0; } pre code { padding: 0; }
footer a { color: inherit; } footer { margin-top: 28px; color: var(--soft); font-size: 13.5px; }
"""


def figure(value, text):
    return f'<div class="figure"><b>{html.escape(value)}</b><span>{html.escape(text)}</span></div>'


def card(title, note, body):
    return (f'<section class="card"><h2>{html.escape(title)}</h2><p class="soft">{html.escape(note)}</p>'
            f"{body}</section>")


def gallery(rows):
    parts = []
    for image, label, neighbours in rows:
        cells = [f'<figure class="query"><span><img src="{report_png.data_uri(image)}" alt="query"></span>'
                 f"<figcaption>{report_png.CLASSES[label]}</figcaption></figure>"]
        for other, other_label in neighbours:
            css = "" if other_label == label else ' class="other"'
            cells.append(f'<figure{css}><span><img src="{report_png.data_uri(other)}" alt="neighbour"></span>'
                         f"<figcaption>{report_png.CLASSES[other_label]}</figcaption></figure>")
        parts.append(f'<div class="row">{"".join(cells)}</div>')
    return "".join(parts)


def latency_table(rows):
    body = "".join(f"<tr><td>{html.escape(name)}</td><td>{r['threads']}</td><td>{r['in_flight']}</td>"
                   f"<td>{r['qps']:,.0f}</td><td>{r['p50_us']:,.0f}</td><td>{r['p99_us']:,.0f}</td></tr>"
                   for name, r in rows)
    return ("<table><tr><th></th><th>threads</th><th>in flight</th><th>queries/s</th><th>p50 µs</th>"
            f"<th>p99 µs</th></tr>{body}</table>")


def bench_rows(r):
    rows = [("embedded", x) for x in r["embedded"]["results"]]
    rows += [("gRPC", x) for x in r["grpc-latency"]["results"]]
    return rows + [("gRPC", x) for x in r["grpc"]["results"]]


def page(r, f, rows):
    """r: the results by name, f: the figures of the table, rows: of the gallery."""
    threads = [f"{x['threads']} thread{'s' if x['threads'] > 1 else ''}" for x in r["embedded"]["results"]]
    series = [("embedded", "a", [x["qps"] for x in r["embedded"]["results"]]),
              ("gRPC, 16 calls in flight", "b", [x["qps"] for x in r["grpc"]["results"]]),
              ("gRPC, one call at a time", "c", [x["qps"] for x in r["grpc-latency"]["results"]])]
    head = "".join((
        figure(f"{f['recall']:.4f}", "recall@10 at the default settings"),
        figure(f"{f['indexed']:,.0f}", "images a second, indexed"),
        figure(f"{f['qps']:,.0f}", "queries a second over gRPC, 2 clients"),
        figure(f"{f['embedded_us']:.0f} µs", "median search in process"),
        figure(f"{f['bytes']:,.0f} B", f"memory an image, {f['dim']} of them the image"),
        figure(f"{f['agree'] * 100:.1f} %", "nearest image is of the same kind")))
    cards = "".join((
        card("Streaming in", f"{f['rows']:,} images of {f['dim']} values over one gRPC stream, searchable as soon "
             "as they are accepted", report_plots.ingest(r["import"]["timeline"], f["rows"])),
        card("Speed against recall", "in process; ef widens the search; recall against the exact 10 nearest",
             report_plots.curve(r["curve"])),
        card("Throughput", f"k = 10, default settings, on {r['process']['cores']} cores shared by clients and "
             "server", report_plots.bars(threads, series, "queries/s")),
        card("Latency", "in flight: calls under way on each connection; more of them wait longer",
             latency_table(bench_rows(r)))))
    again = html.escape("omend &\n"
                        "omen import images train-images-idx3-ubyte.gz --create --server localhost:7700\n"
                        "omen search images t10k-images-idx3-ubyte.gz -k 8 --server localhost:7700\n"
                        "omen search films --text detective --like 11298 --filter 'year > 1950' --metadata "
                        "--server localhost:7700")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>OmenDB demo</title><style>{STYLE}{report_films.STYLE}</style></head>
<body><main>
<h1>{f['rows']:,} images in, and found again</h1>
<p class="lead">OmenDB {html.escape(r['server']['version'])} took {f['rows']:,} pictures of clothes over gRPC,
indexed them in {f['seconds']:.2f} seconds and answered {f['queries']:,} queries with pictures it had never
seen.</p>
<div class="figures">{head}</div>
<div class="grid2">{cards}</div>
<section class="card wide"><h2>What it found</h2>
<p class="soft">Left: a test image. Right: its 8 nearest neighbours by pixels, nearest first; a red frame
marks another kind of clothes.</p>{gallery(rows)}</section>
{report_films.section(r['films'])}
<section class="card wide"><h2>Try it</h2><pre><code>{again}</code></pre></section>
<footer>Data: fashion-mnist, © 2017 Zalando SE, MIT licence. {report_films.ATTRIBUTION}Kernels: {html.escape(r['server']['isa'])}.
Measured on this machine during the demo; a busy machine gives lower figures.</footer>
</main></body></html>
"""
