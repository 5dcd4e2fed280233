"""report_films.py - the film search of the demo as a part of the page: hits with their metadata, the words
found, the command, and what the search did.
SPDX-License-Identifier: Apache-2.0"""
import html
import json
import re

SNIPPET = 210  # characters of a text that are shown
# Colours of the stages; the others: e.
STAGES = {"entry": "a", "graph": "a", "scan": "a", "text": "b", "filter": "c", "rerank": "d"}

STYLE = """
:root { --mark: #ffe9a8; --chip: #eef1f6; --d: #8b62d9; }
@media (prefers-color-scheme: dark) { :root { --mark: #6b5310; --chip: #262d3a; --d: #b794f6; } }
.title2 { font-size: 26px; line-height: 1.2; margin: 36px 0 6px; letter-spacing: -.02em; }
.searches { columns: 2 440px; column-gap: 20px; margin-top: 20px; }
.search { break-inside: avoid; margin-bottom: 20px; }
.search pre { margin: 10px 0 4px; padding: 10px 12px; white-space: pre-wrap; overflow-wrap: anywhere; }
.search ol { list-style: none; margin: 0; padding: 0; }
.search li { display: grid; grid-template-columns: 22px 1fr auto; gap: 10px; padding: 12px 0;
  border-bottom: 1px solid var(--line); }
.search li:last-child { border: 0; }
.rank, .score { color: var(--soft); font-variant-numeric: tabular-nums; font-size: 13.5px; line-height: 24px; }
.film b { font-weight: 600; } .film .year { color: var(--soft); margin: 0 6px; }
.chip { display: inline-block; background: var(--chip); color: var(--soft); border-radius: 99px; font-size: 12px;
  line-height: 18px; padding: 0 9px; margin-right: 4px; white-space: nowrap; }
.film p { font-size: 13.5px; line-height: 1.5; color: var(--soft); margin: 4px 0 0; }
mark { background: var(--mark); color: var(--ink); border-radius: 3px; padding: 0 2px; }
.plan { border-top: 1px solid var(--line); margin-top: 4px; padding-top: 12px; font-size: 13px;
  color: var(--soft); }
.stages { display: flex; height: 6px; border-radius: 3px; overflow: hidden; background: var(--line);
  margin: 6px 0; gap: 1px; }
.stages i { display: block; min-width: 2px; } .stages .a { background: var(--a); }
.stages .b { background: var(--b); } .stages .c { background: var(--c); } .stages .d { background: var(--d); }
.stages .e { background: var(--soft); } .key.d::before { color: var(--d); } .key.e::before { color: var(--soft); } .plan .key { margin-right: 14px; white-space: nowrap; }
.facet { display: grid; grid-template-columns: 130px 1fr 48px; gap: 10px; align-items: center;
  font-size: 13.5px; line-height: 25px; } .facet i { display: block; height: 10px; border-radius: 3px;
  background: var(--a); min-width: 2px; } .facet span:last-child { text-align: right; color: var(--soft);
  font-variant-numeric: tabular-nums; }
"""


def load(out):
    """The searches in their order: (title, command, answer); and the report of the import."""
    searches = []
    while (out / f"film-{len(searches) + 1}.json").exists():
        stem = f"film-{len(searches) + 1}"
        title, command = (out / f"{stem}.txt").read_text(encoding="utf-8").splitlines()
        searches.append((title, command, json.loads((out / f"{stem}.json").read_text(encoding="utf-8"))))
    return json.loads((out / "film-import.json").read_text(encoding="utf-8")), searches


def stem(word):
    """Near enough to the engine's stems to tell which words a reader would call found."""
    return re.sub(r"(ing|ers|er|ed|es|s|y|ies)$", "", word.lower()) if len(word) > 4 else word.lower()


def words_of(command):
    text = re.search(r"--text (?:'([^']*)'|(\S+))", command)
    return {stem(w) for w in re.findall(r"\w+", (text.group(1) or text.group(2)) if text else "")}


def snippet(text, words):
    """About SNIPPET characters around the first word found, these marked; HTML."""
    found = [m for m in re.finditer(r"\w+", text) if stem(m.group()) in words]
    start = max(0, found[0].start() - 70) if found and found[0].start() > SNIPPET - 40 else 0
    if start > 0:
        start = text.index(" ", start) + 1
    end = min(len(text), start + SNIPPET)
    if end < len(text):
        end = max(text.rfind(" ", start, end), start + 1)
    parts, at = ["… " if start > 0 else ""], start
    for m in found:
        if m.start() >= at and m.end() <= end:
            parts += [html.escape(text[at:m.start()]), f"<mark>{html.escape(m.group())}</mark>"]
            at = m.end()
    return "".join(parts) + html.escape(text[at:end]) + (" …" if end < len(text) else "")


def hit(rank, item, words):
    film = item["metadata"]
    chips = "".join(f'<span class="chip">{html.escape(g)}</span>' for g in film.get("genres", []))
    value = (f'<span title="score">{item["score"]:.3g}</span>' if "score" in item
             else f'<span title="cosine distance">{item["distance"]:.3f}</span>')
    title = " ".join(f"<mark>{html.escape(w)}</mark>" if any(stem(x) in words for x in re.findall(r"\w+", w))
                     else html.escape(w) for w in film["title"].split())
    return (f'<li><span class="rank">{rank}</span><div class="film"><b>{title}</b>'
            f'<span class="year">{film["year"]}</span>{chips}<p>{snippet(film["text"], words)}</p></div>'
            f'<span class="score">{value}</span></li>')


def count_text(n, what):
    return f"{n:,} {what}" if n else ""


def colour(stage):
    return STAGES.get(stage["name"], "e")


def plan(e):
    """What the search did, and where its time went."""
    facts = [f"plan <b>{html.escape(e['plan'])}</b>"]
    if "matches" in e:
        facts.append(f"{e['matches']:,} films pass the filter ({e['selectivity'] * 100:.1f} %, "
                     f"{e['estimated_selectivity'] * 100:.1f} % were expected)")
    facts += [t for t in (count_text(e["distances"], "graph distances"), count_text(e["scanned"], "rows scanned"),
                          count_text(e.get("candidates", 0), "texts scored")) if t]
    stages = [s for s in e["stages"] if s["name"] != "queue" and s["ns"] >= 500]
    total = sum(s["ns"] for s in stages) or 1
    bars = "".join(f'<i class="{colour(s)}" style="width:{s["ns"] / total * 100:.1f}%"></i>'
                   for s in stages)
    keys = "".join(f'<span class="key {colour(s)}">{html.escape(s["name"])} {s["ns"] / 1000:,.0f} µs</span>'
                   for s in stages)
    return f'<div class="plan">{" · ".join(facts)}<div class="stages">{bars}</div>{keys}</div>'


def facets(answer):
    rows = []
    for values in answer["facets"].values():
        most = max(v["count"] for v in values)
        rows += [f'<div class="facet"><span>{html.escape(str(v["value"]))}</span>'
                 f'<i style="width:{v["count"] / most * 100:.1f}%"></i><span>{v["count"]:,}</span></div>'
                 for v in values[:10]]
    return (f'<p class="soft" style="margin-top:8px">{answer["count"]:,} films, counted by the values of '
            f'<code>genres</code>; a film has several.</p>{"".join(rows)}')


def section(films):
    imported, searches = films
    parts = []
    for title, command, answer in searches:
        words = words_of(command)
        body = (facets(answer) if "hits" not in answer else
                "<ol>" + "".join(hit(i + 1, h, words) for i, h in enumerate(answer["hits"])) + "</ol>"
                + plan(answer["explain"]))
        parts.append(f'<article class="card search"><h2>{html.escape(title)}</h2>'
                     f"<pre><code>{html.escape(command)}</code></pre>{body}</article>")
    return (f'<section class="wide"><h2 class="title2">{imported["rows"]:,} films, by words, filters '
            'and examples</h2><p class="soft">Title, year, genres, cast and the first paragraph of an '
            "article each, with a vector made from it. Words are ranked by BM25, examples by the graph, and a "
            f'filter holds inside both.</p><div class="searches">{"".join(parts)}</div></section>')


ATTRIBUTION = ('Films: <a href="https://en.wikipedia.org/">Wikipedia</a> and its contributors, '
               '<a href="https://creativecommons.org/licenses/by-sa/4.0/">CC BY-SA 4.0</a>, as collected in '
               "prust/wikipedia-movie-data; shortened. ")
