"""``mx.index_gradient`` as a context: whose code it holds for, and how it is left."""

import asyncio
import contextlib
import contextvars
import threading

import mlx.core as mx
import pytest

X = mx.array([3.0, 1.0, 2.0])


def mode():
    """Returns the mode that an op reads."""

    def cast(x):
        return mx.argsort(x).astype(mx.float32).sum()

    def gathered(x):
        return mx.take_along_axis(x, mx.argsort(x), 0).sum()

    try:
        mx.grad(cast)(X)
    except ValueError:
        return "error"
    try:
        mx.grad(gathered)(X)
    except ValueError:
        return "zero"
    return "stop"


def test_asyncio_tasks_do_not_see_each_others_scopes():
    seen = {}

    async def task(name, entered, other):
        with mx.index_gradient(name):
            entered.set()
            await other.wait()
            seen[name] = mode()
            await asyncio.sleep(0)
            seen[name, "later"] = mode()

    async def main():
        one, two = asyncio.Event(), asyncio.Event()
        await asyncio.gather(task("error", one, two), task("zero", two, one))
        seen["main"] = mode()

    asyncio.run(main())
    assert seen == {
        "error": "error",
        ("error", "later"): "error",
        "zero": "zero",
        ("zero", "later"): "zero",
        "main": "stop",
    }


def test_a_task_begins_with_the_scope_that_it_was_made_in():
    async def child():
        return mode()

    async def main():
        with mx.index_gradient("error"):
            task = asyncio.create_task(child())
            in_thread = asyncio.create_task(asyncio.to_thread(mode))
        return await task, await in_thread, mode()

    assert asyncio.run(main()) == ("error", "error", "stop")


def test_a_scope_is_not_in_force_on_another_thread():
    seen = []
    with mx.index_gradient("error"):
        thread = threading.Thread(
            target=contextvars.Context().run, args=(lambda: seen.append(mode()),)
        )
        thread.start()
        thread.join()
    assert seen == ["stop"]


def test_a_generator_in_its_own_context_keeps_its_scope_to_itself():
    def generator():
        with mx.index_gradient("error"):
            yield mode()
            yield mode()

    values, context = generator(), contextvars.copy_context()
    assert context.run(next, values) == "error"
    assert mode() == "stop"
    with mx.index_gradient("zero"):
        assert context.run(next, values) == "error"
        assert mode() == "zero"
    assert context.run(next, values, "end") == "end"
    assert mode() == "stop"


def test_a_context_manager_made_of_a_generator_holds_for_its_body():
    @contextlib.contextmanager
    def strict():
        with mx.index_gradient("error"):
            yield

    with strict():
        assert mode() == "error"
    assert mode() == "stop"


def test_scopes_must_be_left_in_reverse_order():
    outer, inner = mx.index_gradient("error"), mx.index_gradient("zero")
    outer.__enter__()
    inner.__enter__()
    with pytest.raises(RuntimeError, match="Exit contexts in the reverse order"):
        outer.__exit__(None, None, None)
    assert mode() == "zero"
    inner.__exit__(None, None, None)
    assert mode() == "error"
    outer.__exit__(None, None, None)
    assert mode() == "stop"


def test_one_scope_may_be_open_in_several_tasks():
    scope = mx.index_gradient("error")

    async def task(first, second):
        with scope:
            await asyncio.sleep(first)
            seen = mode()
            await asyncio.sleep(second)
        return seen, mode()

    async def main():
        return await asyncio.gather(task(0, 0.02), task(0.01, 0))

    assert asyncio.run(main()) == [("error", "stop")] * 2


def test_a_scope_cannot_be_left_in_another_task():
    scope = mx.index_gradient("error")

    async def enter():
        scope.__enter__()

    async def main():
        await asyncio.create_task(enter())
        with pytest.raises(RuntimeError, match="in another asyncio task"):
            scope.__exit__(None, None, None)

    asyncio.run(main())
    assert mode() == "stop"
