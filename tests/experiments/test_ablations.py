"""The ablations: what differs between runs, and the page of those that have ended."""

import json
import sys

from experiments.zero_shot.ablations import Options, main, plan_runs, plot_sweep

SWEEPS = {
    "encoder": ["width 96", "width 192", "width 384"],
    "number of images": ["10", "100", "1000", "no image twice"],
    "source of data": ["flat shapes", "drawn scenes", "CELLS", "shapes and CELLS"],
}
OPTIONS = Options(stored=("CELLS=cells",))


def test_one_thing_differs_in_each_plot():
    runs = list(plan_runs(OPTIONS))
    for sweep, values in SWEEPS.items():
        assert [run.value for run in runs if run.sweep == sweep] == values
    configs = {(run.sweep, run.value): run.config for run in runs}
    assert len({repr(config) for config in configs.values()}) == 9
    same = configs["encoder", "width 192"]
    assert same == configs["number of images", "no image twice"]
    assert same == configs["source of data", "flat shapes"]
    assert len({repr(configs["encoder", value].data) for value in SWEEPS["encoder"]}) == 1
    for sweep in ("number of images", "source of data"):
        assert len({repr(configs[sweep, value].model) for value in SWEEPS[sweep]}) == 1
    assert configs["source of data", "CELLS"].data.sources[0].hold_back == 5


def test_runs_that_have_ended_are_only_drawn(tmp_path, monkeypatch, capsys):
    means = {}
    for number, run in enumerate(plan_runs(OPTIONS)):
        folder = tmp_path / run.sweep.replace(" ", "_") / run.value.replace(" ", "_")
        folder.mkdir(parents=True)
        means[run.sweep, run.value] = number / 20
        (folder / "result.json").write_text(json.dumps({"flat shapes": number / 20}))
    arguments = ["--output", str(tmp_path), "--stored", "CELLS=cells"]
    monkeypatch.setattr(sys, "argv", ["ablations", *arguments])
    main()
    page = (tmp_path / "ablations.html").read_text()
    assert page.count("<svg") == 3
    shared = means["encoder", "width 192"]
    means["number of images", "no image twice"] = means["source of data", "flat shapes"] = shared
    for sweep, values in SWEEPS.items():
        points = {value: {"flat shapes": means[sweep, value]} for value in values}
        (axes,) = plot_sweep(sweep, points).axes
        (line,) = axes.lines
        assert [label.get_text() for label in axes.get_xticklabels()] == values
        assert line.get_ydata().tolist() == [means[sweep, value] for value in values]
        assert (line.get_linestyle() == "None") == (sweep == "source of data")  # has no order
    assert "0.0500" in capsys.readouterr().out
