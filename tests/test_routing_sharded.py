"""Selection and experts that are divided among local processes, over MLX's ring.

sharded_worker.py makes the comparisons, in each process.
"""

import pathlib

import mlx.core as mx
import pytest
from local_processes import finish, start
from mlx.nn import routing

WORKER = pathlib.Path(__file__).with_name("sharded_worker.py")
EXAMPLE = pathlib.Path(__file__).parents[1] / "examples" / "sharded_routing.py"
COUNTS = [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4))]


@pytest.mark.parametrize("count", COUNTS)
def test_processes_together_compute_what_one_does(tmp_path, count):
    for code, out, err in finish(start(count, tmp_path, WORKER, "all")):
        assert code == 0, err
        lines = out.split()
        assert lines[-1] == "done" and int(lines[1]) >= 48


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_lost_process_is_an_error_in_the_others(tmp_path, count):
    *others, lost = finish(start(count, tmp_path, WORKER, "lost"), timeout=60)
    assert lost[0] == 3
    for code, out, err in others:
        assert code == 0, err
        assert "RuntimeError" in out and "connection to a peer was lost" in out


@pytest.mark.slow
def test_a_late_process_is_a_timeout_and_the_result_still_comes(tmp_path):
    *others, late = finish(start(2, tmp_path, WORKER, "late"), timeout=60)
    assert late[0] == 0 and "TimeoutError" not in late[1], late[2]
    for code, out, err in others:
        assert code == 0, err
        assert "not evaluated within 1.0 s" in out and out.endswith("done\n")


def test_one_process_is_a_group_too():
    x = mx.array([[1.0, 3.0, 3.0], [mx.nan, 2.0, -mx.inf]])
    values, indices = routing.sharded_topk(x, 2, 0)
    wanted = mx.topk(x, 2, 0, sorted=True, return_indices=True)
    assert indices.tolist() == wanted.indices.tolist()
    assert mx.array_equal(values, wanted.values, equal_nan=True).item()
    layer = routing.MixtureOfExperts(4, 8, 6, 2)
    x = mx.random.normal((3, 5, 4))
    sharded = routing.ShardedMixtureOfExperts(layer)
    assert mx.allclose(sharded(x), layer(x), atol=1e-6).item()


def test_eval_within_raises_the_error_of_the_evaluation():
    routing.eval_within(10, {"a": mx.ones(3) + 1, "b": [mx.zeros(2)]})

    with pytest.raises(RuntimeError):
        routing.eval_within(10, mx.linalg.inv(mx.zeros((2, 2)), stream=mx.cpu))


X = mx.zeros((2, 6))
BAD = [
    (lambda: routing.sharded_topk(X, 7), "k must be between 0 and 6, got 7."),
    (lambda: routing.sharded_topk(X, 1, sizes=[3, 3]), "sizes must be 1 sizes, "),
    (lambda: routing.sharded_topk(X, 1, sizes=[5]), "this shard's size 6 at rank 0"),
    (
        lambda: mx.vmap(lambda x: routing.sharded_topk(x, 1))(X),
        "vmap is not supported. Pass all rows in one array.",
    ),
    (
        lambda: routing.ShardedMixtureOfExperts(
            routing.MixtureOfExperts(4, 8, 6, 2, "dense")
        ),
        "gradient must be 'chosen', got 'dense'.",
    ),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)
