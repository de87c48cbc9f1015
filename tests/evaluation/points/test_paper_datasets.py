from sam_jax.evaluation.points.paper_datasets import PAPER_DATASETS, tabulate_datasets


def test_the_paper_has_23_data_sets():
    names = [data.name for data in PAPER_DATASETS]
    assert len(set(names)) == 23
    assert sorted(names, key=str.lower) == names
    assert sum(data.masks for data in PAPER_DATASETS) == 172_653
    assert sum(data.images for data in PAPER_DATASETS) == 40_188
    assert all(data.home.startswith("http") for data in PAPER_DATASETS)
    table = tabulate_datasets()
    assert {len(row) for row in table.rows} == {len(table.columns)}
