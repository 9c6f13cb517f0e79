"""The cluster executor against the serial one."""

import pytest
from test_executors import files, jobs_of, run

from utiliscope.errors import InputError
from utiliscope.suite.executors import cluster
from utiliscope.suite.executors.cluster import Cluster
from utiliscope.suite.executors.serial import Serial
from utiliscope.suite.results import failures

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")


def test_a_cluster_gives_what_serial_gives(tmp_path):
    jobs = jobs_of("good", "raises")
    outcome = run(tmp_path / "dask", jobs, Cluster(2))
    assert outcome == run(tmp_path / "serial", jobs, Serial())
    assert files(tmp_path / "dask") == files(tmp_path / "serial")
    assert failures(tmp_path / "dask") == failures(tmp_path / "serial")


@pytest.mark.slow
def test_workers_of_a_cluster_that_are_killed_lose_nothing(tmp_path):
    marker = tmp_path / "marker"
    marker.mkdir()
    jobs = jobs_of("good", "kills once", "kills", seeds=1)
    outcome = run(tmp_path / "dask", jobs, Cluster(2), settings={"marker": str(marker)})
    assert tuple(outcome) == (4, 2, 6)
    assert set(failures(tmp_path / "dask").values()) == {"every worker that tried it died"}
    run(tmp_path / "serial", jobs_of("good", "kills once", seeds=1), Serial())
    assert files(tmp_path / "dask") == files(tmp_path / "serial")


@pytest.mark.slow
def test_other_clusters_by_address_and_file(tmp_path):
    """Two batches of a worker with several threads are not run at a time."""
    jobs, path = jobs_of("good"), tmp_path / "scheduler.json"
    run(tmp_path / "serial", jobs, Serial())
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as other:
        with distributed.Client(other) as client:
            client.write_scheduler_file(str(path))
        for name, where in (("address", other.scheduler_address), ("file", str(path))):
            run(tmp_path / name, jobs, Cluster(scheduler=where))
            assert files(tmp_path / name) == files(tmp_path / "serial")


def test_a_scheduler_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    with pytest.raises(InputError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"):
        run(tmp_path, jobs_of("good"), Cluster(scheduler="tcp://127.0.0.1:9"))
    with pytest.raises(InputError, match="there is no scheduler file"):
        run(tmp_path, jobs_of("good"), Cluster(scheduler=str(tmp_path / "none.json")))


@pytest.mark.slow
def test_a_scheduler_that_goes_away(tmp_path):
    other = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)

    def end(done, failed, total, last):
        if done == 3:
            other.close()

    with pytest.raises(InputError, match="scheduler went away; see why, then go on with --resume"):
        run(tmp_path, jobs_of("good"), Cluster(scheduler=other.scheduler_address), batch=1, progress=end)
    assert len(files(tmp_path)) >= 3
