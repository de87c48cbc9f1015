from xml.etree import ElementTree

from sam_jax.evaluation.plots import figure_to_svg, new_plot


def draw():
    figure, axes = new_plot(3.0, 2.0)
    axes.plot([0, 1], [0.25, 0.5], label="a & b")
    axes.legend()
    return figure_to_svg(figure)


def test_equal_figures_are_equal_texts():
    assert draw() == draw()


def test_text_stays_text_and_nothing_else_is_told():
    svg = ElementTree.fromstring(draw())
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert "a & b" in texts
    assert not list(svg.iter("{http://www.w3.org/2000/svg}metadata"))
