"""`index.html`: one file that explains a study, opens from disk and asks the network for nothing.

Vega-Lite draws, because its marks are SVG: they carry labels for screen readers, take the focus,
follow the page's colours in the dark and print sharply; and its script is under 1 MB.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sweep.base.process.command import visible
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.report.figures import style
from sweep.report.figures.blocks import AGAINST_THE_TALE, against_the_tale
from sweep.report.frames.fates import MOST_NAMED, counts, gradients_unmeasured
from sweep.report.frames.networks import measured_once
from sweep.report.frames.own import are_models, chains
from sweep.report.frames.stored import Totals
from sweep.report.page import facts
from sweep.report.page.advice import advice_by_act
from sweep.report.page.data import as_script, networks, payload, shown
from sweep.report.page.merit import cards
from sweep.report.page.reading import snippet
from sweep.store.places import Place
from sweep.store.study import Study

_ASSETS = Path(__file__).parent / "assets"  # its template, style and scripts
# In the order in which the page runs them.
_SCRIPTS = (
    "values.js", "state.js", "charts.js", "filter.js", "map.js",
    "network.js", "plane.js", "trained.js", "table.js", "view.js", "page.js",
)  # fmt: skip
_NAME, _VEGA_LITE = "index.html", "6.4"
_BUNDLE = """
import sys
try:
    import vl_convert
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=sys.argv[1])
except BaseException as error:
    sys.exit(f"{type(error).__name__}: {error}".split(chr(10))[0])
sys.stdout.buffer.write(script.encode())
"""


def write(
    study: Study,
    place: Place,
    cells: pd.DataFrame,
    layers: pd.DataFrame,
    thresholds: Thresholds,
    totals: Totals | None = None,
) -> str:
    """Write the page of a study beside its figures, which it links to; returns the file's name.

    cells, layers: the stored tables, or frames of networks, with the `totals` of their cells. thresholds:
    those of the verdicts in `cells`. Raises StoreError where nothing can be written there.
    """
    with style.writing("the page", place):
        names = sorted(place.entries(""))
        figures = [n.removesuffix(".svg") for n in names if n.endswith(".svg") and not n.startswith(".")]
        place.write(_NAME, html(study, cells, layers, thresholds, figures, totals).encode())
    return _NAME


def html(
    study: Study,
    cells: pd.DataFrame,
    layers: pd.DataFrame,
    thresholds: Thresholds,
    figures: Sequence[str],
    totals: Totals | None = None,
) -> str:
    """The page's text; every name in it is shown as it is, whatever signs it holds."""
    totals = totals or Totals.of(cells)
    rows, once = networks(cells), measured_once(cells)
    untrained = rows if len(once) == len(cells) else networks(once)
    sampled, left_out = shown(rows)
    environment = Environment(
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.from_string((_ASSETS / "page.html").read_text(encoding="utf-8"))
    return template.render(
        study=study.name,
        snippet=snippet(str(study.path), cells).splitlines(),
        columns=facts.columns(rows),
        summary=counts(untrained),
        scope=facts.scope(cells, totals),
        chains=chains(study.path) if are_models(cells) else [],
        left_out=left_out,
        answers=cards(untrained, once),
        gradients=gradients_unmeasured(untrained),
        backward=bool(rows["measured"].any()),
        most_named=MOST_NAMED,
        advice=advice_by_act(cells),
        failures=facts.failures(totals),
        failed=f"{totals.failed:,}",
        total=f"{totals.cells:,}",
        rules=facts.rules(thresholds),
        against_the_tale=AGAINST_THE_TALE if "block" in cells and against_the_tale(cells) else "",
        facts=facts.provenance_of(study, cells, totals),
        figures=list(figures),
        style=_asset("page.css"),
        library=Markup(_library()),
        data=Markup(as_script({"name": study.name} | payload(sampled, cells, layers))),
        scripts=[_asset(name) for name in _SCRIPTS],
    )


def _asset(name: str) -> Markup:
    """A file of this package, which goes into the page as it is."""
    return Markup((_ASSETS / name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script.

    Made by a process of its own: native code that panics ends that one alone. Raises RuntimeError then.
    """
    command = [sys.executable, "-P", "-c", _BUNDLE, _VEGA_LITE]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.run(command, env=environment, capture_output=True, check=False)
    script = made.stdout.decode()
    if made.returncode:
        said = made.stderr.decode(errors="replace").strip().splitlines()
        raise RuntimeError(f"vl_convert ended with status {made.returncode}: {said[-1] if said else ''}")
    return script.replace("</script", "<\\/script")
