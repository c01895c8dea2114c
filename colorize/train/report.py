"""What a run ends with: tables, pictures, and report.html, which holds all of it in one file."""
import base64
import glob
import html
import json
import os

from minicnn.files import write

from .. import pictures

__all__ = ["beside", "table", "write_pictures", "write_report"]

COLUMNS = {"loss": "loss", "psnr": "PSNR", "ab rmse": "ab error", "ciede2000": "dE2000", "ssim": "SSIM", "auc": "AuC",
           "auc rebalanced": "AuC reb.", "colourfulness": "colourful"}
STAGES = 6                  # how many pictures of earlier steps the report shows


def table(rows):
    """[header, row, ...] with texts, for {row: {measure: number}}."""
    return [["", *COLUMNS.values()]] + [[name, *(digits(row[key]) for key in COLUMNS)] for name, row in rows.items()]


def beside(numbers, rows):
    """[header, row, ...] with a row for each published number and the same measure in `rows`."""
    return [["published, on other photos", "published", *rows, ""]] + [
        [number.measure, digits(number.value), *(digits(row[number.measure]) for row in rows.values()), number.source]
        for number in numbers if all(number.measure in row for row in rows.values())]


def digits(x):
    return f"{x:.4g}" if abs(x) < 10 else f"{x:.2f}"


def write_pictures(run, model, photos, cell):
    """Write samples/best.png, layers/filters.png and layers/activations.png. Returns their paths."""
    rows = pictures.strips(model, photos)
    made = {("samples", "best.png"): pictures.grid(rows, header=pictures.STRIP, cell=cell),
            ("layers", "filters.png"): pictures.filters(model),
            ("layers", "activations.png"): pictures.activations(model, photos[0])}
    for names, picture in made.items():
        pictures.save(run.file(*names), picture)
    return [run.file(*names) for names in made]


def write_report(run, tables, facts):
    """Write report.html with facts {name: text}, tables, curves, samples and layers. Returns its path."""
    title = f"{run.config['settings']['model']}: {os.path.basename(os.path.abspath(run.path))}"
    parts = [f"<h1>{html.escape(title)}</h1>", _table([[k, v] for k, v in facts.items()], head=False)]
    parts += ["<h2>On the validation photos</h2>", *(_table(lines, head=True) for lines in tables)]
    parts += _pictures(run, "Curves", ["loss.png"])
    parts += _pictures(run, "The best weights: input, output, truth", ["samples/best.png"])
    parts += _pictures(run, "On the way", _stages(run))
    parts += _pictures(run, "First layer: filters, and their answers to a photo",
                       ["layers/filters.png", "layers/activations.png"])
    config = html.escape(json.dumps(run.config, indent=2))
    parts.append(f"<h2>Configuration</h2><pre>{config}</pre>")
    page = PAGE.format(title=html.escape(title), body="\n".join(parts))
    write(run.file("report.html"), page.encode())
    return run.file("report.html")


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222 }}
td, th {{ padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }}
td:first-child, th:first-child {{ text-align: left }}
img {{ max-width: 100%; margin: 0 1em 1em 0; vertical-align: top }}
figure {{ display: inline-block; margin: 0 }} pre {{ background: #f6f6f6; padding: 1em; overflow: auto }}
</style></head><body>
{body}
</body></html>
"""


def _table(lines, head):
    cells = [[html.escape(str(text)) for text in line] for line in lines]
    rows = ["<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in line) + "</tr>"
            for i, line in enumerate(cells) for tag in ["th" if head and i == 0 else "td"]]
    return "<table>" + "".join(rows) + "</table>"


def _stages(run):
    """The names of STAGES samples, from the first to the last."""
    found = sorted(glob.glob(os.path.join(glob.escape(run.path), "samples", "step-*.png")))
    chosen = {round(i * (len(found) - 1) / (STAGES - 1)) for i in range(STAGES)} if found else ()
    return [os.path.relpath(found[i], run.path) for i in sorted(chosen)]


def _pictures(run, title, names):
    """A heading and those pictures that exist, as HTML."""
    there = [(name, os.path.join(run.path, name)) for name in names if os.path.exists(os.path.join(run.path, name))]
    figures = []
    for name, path in there:
        with open(path, "rb") as file:
            data = base64.b64encode(file.read()).decode()
        figures.append(f'<figure><figcaption>{html.escape(name)}</figcaption>'
                       f'<img alt="{html.escape(name)}" src="data:image/png;base64,{data}"></figure>')
    return [f"<h2>{html.escape(title)}</h2>", *figures] if figures else []
