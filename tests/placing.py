"""Where the rows lie on several workers is given: left to itself Dask may put all parts on one."""

import dask.array as da
import dask.config
import distributed


def cluster_of(n_workers):
    with dask.config.set({"distributed.scheduler.work-stealing": False}):
        return distributed.LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address=None
        )


def placed(client, *arrays, n_parts):
    """Each array as a Dask array: the first parts on the first worker, and so on."""
    workers = sorted(client.ncores())
    return [None if array is None else _placed(client, workers, array, n_parts) for array in arrays]


def _placed(client, workers, array, n_parts):
    # name=False: a name of its own each time, so that no test asks for an earlier one's keys
    chunks = (-(-len(array) // n_parts), *array.shape[1:])
    parts = da.from_array(array, chunks=chunks, name=False)
    n_parts = parts.numblocks[0]
    return da.concatenate(
        [
            client.persist(parts.blocks[i], workers=[workers[i * len(workers) // n_parts]])
            for i in range(n_parts)
        ]
    )
