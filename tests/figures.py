"""What is in a figure, and whether its texts can be read."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from sweep.report.figures import colours, heatmap
from sweep.report.frames import layout
from sweep.report.frames.measures import measure


def heatmaps(cells, value="std", pages=100, **axes):
    return heatmap.figures(cells, measure(value), layout.choose(cells, **axes), pages)


def panel_of(cells, value="std", axes=None, **chosen):
    """The panel at the chosen row and col, and what its figure shares."""
    arrangement = layout.choose(cells, **(axes or {}))
    one = measure(value)
    frame = layout.assign_roles(cells, arrangement, one)
    for role, wanted in chosen.items():
        frame = frame[frame[role] == wanted]
    return frame, heatmap.Picture(one, arrangement, colours.scale_of(one, frame["value"]), "")


def shown(ax):
    return [text.get_text() for text in ax.texts]


def overlaps(figure):
    """Pairs of texts whose boxes overlap by more than rounding."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = {t for axis in axes for tick in axis.get_major_ticks() for t in (tick.label1, tick.label2)}
    drawn = {tick.label1 for axis in axes for tick in axis._update_ticks()}  # those within the limits
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    texts = [t for t in texts if t not in ticks or t in drawn]
    boxes = [t.get_window_extent(renderer).padded(-1.0) for t in texts]
    pairs = [
        (a.get_text(), b.get_text())
        for i, (a, one) in enumerate(zip(texts, boxes, strict=True))
        for b, other in zip(texts[i + 1 :], boxes[i + 1 :], strict=True)
        if one.overlaps(other)
    ]
    return pairs


def cut_off(figure):
    """Texts that reach beyond the edge of a figure that `overlaps` has drawn."""
    renderer, (width, height) = figure.canvas.get_renderer(), figure.canvas.get_width_height()
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    ticks = {t for axis in axes for tick in axis.get_major_ticks() for t in (tick.label1, tick.label2)}
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in ticks]
    boxes = {t.get_text(): t.get_window_extent(renderer) for t in texts}
    return [n for n, b in boxes.items() if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]
