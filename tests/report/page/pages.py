"""Pages of made-up studies, and what a browser shows of one."""

from sweep.experiment.outcomes.verdict import DEFAULT
from sweep.report import page
from sweep.store.study import Study


def written(place, study, cells, layers):
    """The page of a study, in this place."""
    return place.at(page.write(Study(study), place, cells, layers, DEFAULT))


def drawn(shown, stat="std", **roles):
    """Wait until the map shows this."""
    chosen = {"x": "width", "y": "depth", "rows": "init", "cols": "act"} | roles
    wanted = " ".join([stat, *chosen.values()])
    shown.wait_for_selector(f'#map[data-drawn="{wanted}"]')


def labels_of(shown):
    return shown.eval_on_selector_all("#map .square", "all => all.map(one => one.getAttribute('aria-label'))")


def count_of(shown):
    return shown.inner_text("#count")


def names_of(shown):
    """The networks in the table, by the name of their link."""
    links = "all => all.map(one => one.getAttribute('aria-label').slice('Show '.length))"
    return shown.eval_on_selector_all("#table .link", links)
