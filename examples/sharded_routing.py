"""Selects from divided logits, and trains a divided mixture, in several processes.

Start it with ``mlx.launch``, here with 2 processes on this machine:

    mlx.launch -n 2 --backend ring python examples/sharded_routing.py

Each process has a part of a vocabulary, and a part of the experts of a mixture. Rank 0
prints the bytes that MLX's ring sent to select from the logits, against gathering them,
and the losses of the mixture beside those that one process has. If another process is
lost or late, this one ends with an error instead of waiting for ever.
"""

import argparse
import faulthandler
import os
import socket
import stat
import struct
import sys

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.nn import routing

SECONDS = 120
# Rows, size of the axis, and k: a batch of tokens to sample, and two routers.
CASES = [(8, 152064, 50), (4096, 256, 8), (4096, 64, 8)]


def bytes_sent():
    """Returns how many bytes this process has sent, or None where Linux cannot tell."""
    if sys.platform != "linux":
        return None
    total = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(int(name)).st_mode)
        except OSError:
            continue  # the folder itself, which is closed by now
        if not is_socket:
            continue
        with socket.socket(fileno=os.dup(int(name))) as copy:
            if copy.family == socket.AF_INET:
                # struct tcp_info has tcpi_bytes_acked at byte 120.
                info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 128)
                total += struct.unpack_from("Q", info, 120)[0]
    return total


def measured(function, *arrays):
    """Returns the result, and how many bytes this process sent for it."""
    before = bytes_sent()
    result = function(*arrays)
    routing.eval_within(SECONDS, result)
    # All processes have received everything after another message.
    routing.eval_within(SECONDS, mx.distributed.all_sum(mx.ones(1)))
    after = bytes_sent()
    return result, None if before is None else after - before


def compare_bytes(group):
    """Prints a row for each case, after comparing the indices."""
    size, rank = group.size(), group.rank()
    _, rest = measured(lambda: [])
    if rank == 0:
        print("| rows | axis | k | gathered logits, bytes | sharded_topk, bytes |")
        print("|---|---|---|---|---|")
    for rows, n, k in CASES:
        whole = mx.random.normal((rows, n), key=mx.random.key(n))
        mine = mx.contiguous(mx.split(whole, size, axis=1)[rank])

        def gathered(x, k=k):
            x = mx.distributed.all_gather(mx.swapaxes(x, 0, 1), group=group)
            return mx.topk(mx.swapaxes(x, 0, 1), k, sorted=True, return_indices=True)

        def divided(x, k=k):
            return routing.sharded_topk(x, k, group=group)

        (_, wanted), full = measured(gathered, mine)
        (_, indices), little = measured(divided, mine)
        assert mx.array_equal(indices, wanted)
        if rank == 0:
            sent = ("", "") if full is None else (full - rest, little - rest)
            print(f"| {rows} | {n} | {k} | {sent[0]} | {sent[1]} |")


def train(layer, x, y, average=lambda gradients: gradients, steps=20):
    """Trains a layer to map x to y, and returns the losses."""

    def loss(layer):
        return ((layer(x) - y) ** 2).mean()

    optimizer, losses = optim.Adam(1e-2), []
    step = nn.value_and_grad(layer, loss)
    for _ in range(steps):
        value, gradients = step(layer)
        optimizer.update(layer, average(gradients))
        routing.eval_within(SECONDS, value, layer.parameters(), optimizer.state)
        losses.append(value)
    return mx.stack(losses)


def compare_training(group):
    size, rank, tokens = group.size(), group.rank(), 64
    x = mx.random.normal((size * tokens, 16), key=mx.random.key(1))
    y = mx.sin(2 * x)
    mx.random.seed(0)
    divided = routing.ShardedMixtureOfExperts(
        routing.MixtureOfExperts(16, 32, num_experts=8, k=2), group
    )
    rows = slice(rank * tokens, (rank + 1) * tokens)
    losses = train(
        divided,
        x[rows],
        y[rows],
        lambda gradients: routing.average_gradients(divided, gradients, group),
    )
    losses = mx.distributed.all_sum(losses, group=group) / size
    routing.eval_within(SECONDS, losses)
    mx.random.seed(0)
    wanted = train(routing.MixtureOfExperts(16, 32, num_experts=8, k=2), x, y)
    if rank == 0:
        held = divided.experts.up.shape[0]
        print(f"\n{size} processes with {held} of 8 experts in rank 0.")
        print("Loss in steps 1, 10 and 20, divided:    ", *pick(losses))
        print("Loss in steps 1, 10 and 20, one process:", *pick(wanted))
        print(f"Largest difference: {mx.abs(losses - wanted).max().item():.1e}")


def pick(losses):
    return [f"{losses[i].item():.6f}" for i in (0, 9, 19)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    mx.set_default_device(mx.cpu)
    # init waits for the other processes without a limit, so a timer ends this one.
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    group = mx.distributed.init(backend="ring", strict=True)
    faulthandler.cancel_dump_traceback_later()
    compare_bytes(group)
    compare_training(group)


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, TimeoutError) as error:
        print(f"A process is lost or late: {error}", file=sys.stderr, flush=True)
        # A normal exit would wait for the evaluation that goes on.
        os._exit(1)
