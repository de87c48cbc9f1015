from sam_jax.cli.compilation import SharedCache, compilation_cache_folder
from sam_jax.storage import locate, write_text


def test_a_cache_in_a_bucket_is_one_for_all_hosts(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", bucket)
    shared = compilation_cache_folder()
    assert shared == locate(bucket)
    write_text(shared / "one-cache", "a program")
    first = SharedCache(shared, tmp_path / "first")
    assert (tmp_path / "first" / "one-cache").read_text() == "a program"
    for name in ("two-cache", "two-atime"):
        (tmp_path / "first" / name).write_text(name)
    first.upload(settled_seconds=60.0)
    assert [*shared.list_below()] == ["one-cache"]
    first.upload()
    SharedCache(shared, tmp_path / "second")
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == [
        "one-cache",
        "two-cache",
    ]
