"""Programs: whole networks against float64, in inference and training, from the core's Graph directly."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from checks import assert_same_bits, machines
from convcore import _core
from networks import IMAGES, NETWORKS, Network, assert_near, batch_of, make, residual
from reference import Array


def image(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- values and gradients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_inference(name: str) -> None:
    x, _ = batch_of()
    net, program = make(NETWORKS[name], training=False)
    expected = net.exact(x)[net.outputs[0]]
    first: dict[str, Array] = {}
    for isa, threads in machines():
        net, program = make(NETWORKS[name], training=False)  # packed weights belong to an ISA's tile
        for _ in range(2):
            logits = program.run([x])[0]
            assert_near(logits, expected, net.roundings(), f"{name}, {isa}")
            assert_same_bits(logits, first.setdefault(isa, logits), f"{name}, {isa}, {threads} threads")


@pytest.mark.parametrize("name", NETWORKS)
def test_value_and_gradients(name: str) -> None:
    x, labels = batch_of()
    net, program = make(NETWORKS[name], training=True)
    loss, gradients = net.exact_gradients(x, labels)
    first: dict[str, Array] = {}
    for isa, threads in machines():
        net, program = make(NETWORKS[name], training=True)
        value, _ = program.forward_backward([x, labels])
        assert_near(value, np.asarray(loss), net.roundings(), f"loss of {name}, {isa}")
        scale = max(float(np.abs(g).max()) for g in gradients)
        for got, want, names in zip(net.gradient_views(program), gradients, net.graph.parameter_names(), strict=True):
            # A gradient that cancels (a bias before batch norm) is as exact as the largest that flow.
            floor = np.append(want.ravel(), scale)
            assert_near(np.append(got.ravel(), scale), floor, net.roundings(), f"{name}, {names}, {isa}")
        assert_same_bits(
            net.gradients, first.setdefault(isa, net.gradients.copy()), f"{name}, {isa}, {threads} threads"
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_the_float64_twin_by_finite_differences(name: str) -> None:
    """The yardstick itself: (L(p + hd) - L(p - hd)) / 2h along a random direction is the gradients' share in it."""
    x, labels = batch_of()
    net, _ = make(NETWORKS[name], training=True)
    _, gradients = net.exact_gradients(x, labels)
    rng, h = np.random.default_rng(5), 1e-6
    values = {k: v.astype(np.float64) for k, v in net.parameters.items()}
    directions = {k: rng.standard_normal(v.shape) for k, v in values.items()}
    losses = []
    for sign in (1, -1):
        net.parameters = {k: v + sign * h * directions[k] for k, v in values.items()}
        losses.append(float(net.exact(x, labels)[net.outputs[0]]))
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions.values(), strict=True))
    assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_outputs_beside_the_loss() -> None:
    x, labels = batch_of()
    net, program = make(residual, training=True)
    count = program.forward_backward([x, labels])[1]
    logits = net.exact(x, labels)[net.nodes[-1].inputs[0]]
    assert count == (logits.argmax(1) == labels).sum()


# --- memory that is shared ---------------------------------------------------------------------------------------


def run(net: Network, outputs: list[int], *inputs: Array) -> list[Array]:
    """All outputs, compared with the float64 twin."""
    results = net.program(*outputs).run(list(inputs))
    exact = net.exact(*inputs)
    for i, (got, value) in enumerate(zip(results, outputs, strict=True)):
        assert got.shape == exact[value].shape
        assert_near(got, exact[value], net.roundings() + 8, f"output {i}")
    return results


def test_an_input_is_never_written() -> None:
    net = Network()
    x = net.input(2, 5, 4, 4)
    y = net.node("relu", x)
    data = np.ascontiguousarray(image(2, 4, 4, 5)).transpose(0, 3, 1, 2)  # borrowed as it is
    kept = data.copy()
    run(net, [net.node("sigmoid", y), y], data)
    np.testing.assert_array_equal(data, kept)


def test_a_value_read_twice_is_not_overwritten() -> None:
    """relu could run in place, were its input not needed by the sum."""
    net = Network()
    y = net.conv(net.input(2, 3, 6, 6), 8, 3)
    run(net, [net.node("add", net.node("relu", y), y)], image(2, 3, 6, 6))
    net = Network()
    y = net.conv(net.input(2, 3, 6, 6), 8, 3)
    z = net.node("relu", y)
    w = net.node("sigmoid", z)
    run(net, [net.node("add", net.node("multiply", w, z), y)], image(2, 3, 6, 6))


def test_values_that_are_outputs_and_read_again() -> None:
    net = Network()
    x = net.input(2, 3, 6, 6)
    y = net.conv(x, 8, 3)
    z = net.node("relu", y)
    run(net, [y, z, net.node("concat", y, z), z], image(2, 3, 6, 6))


def test_an_input_as_output() -> None:
    net = Network()
    x = net.input(2, 3, 6, 6)
    run(net, [net.node("relu", x), x], image(2, 3, 6, 6))


def test_concatenations_of_all_kinds() -> None:
    """Of inputs, of one value twice, of concatenations, of values that others read before and after."""
    net = Network()
    x = net.input(2, 3, 6, 6)
    a = net.conv(x, 5, 3)
    twice = net.node("concat", a, a)
    nested = net.node("concat", twice, x, net.node("relu", a))
    again = net.node("concat", nested, a, net.node("tanh", nested))
    run(net, [again, nested, twice, net.conv(again, 4, 1)], image(2, 3, 6, 6))


def test_concatenation_of_slices_that_change_in_place() -> None:
    net = Network()
    x = net.input(2, 3, 6, 6)
    branches = [net.node("relu", net.batch_norm(net.conv(x, c, 1))) for c in (5, 16, 1)]
    joined = net.node("relu", net.node("concat", *branches))
    run(net, [net.node("max_pool2d", joined, kernel_size=[2, 2]), branches[1]], image(2, 3, 6, 6))


def test_ranks_two_and_three() -> None:
    net = Network()
    x = net.input(3, 4, 9)
    weight = net.parameter("w", 6, 4, 3)
    y = net.node("conv2d", x, weight, -1, padding=[0, 0, 1, 1], stride=[1, 1])
    y = net.node("max_pool2d", net.node("relu", y), kernel_size=[1, 3], stride=[1, 2])
    run(net, [net.linear(net.node("flatten", y), 5)], image(3, 4, 9))


def test_bytes_as_input() -> None:
    net = Network()
    x = net.input(2, 3, 8, 8, dtype="uint8")
    y = net.conv(net.node("normalize", x, mean=[0.5], std=[0.25]), 4, 3)
    data = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.uint8)
    run(net, [y], data)
    channels_last = np.ascontiguousarray(data.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    assert_same_bits(net.program(y).run([channels_last])[0], net.program(y).run([data])[0], "uint8")


def test_an_empty_batch() -> None:
    for name, builder in NETWORKS.items():
        _, program = make(builder, training=False, batch=0)
        assert program.run([np.zeros((0, *IMAGES[1:]), np.float32)])[0].shape == (0, 10), name


def test_a_parameter_of_two_layers_gets_both_gradients() -> None:
    net = Network(training=True)
    x, labels = net.input(3, 4, 6, 6), net.input(3, dtype="int64", name="y")
    weight = net.parameter("shared", 4, 4, 3, 3)
    y = net.node("relu", net.node("conv2d", x, weight, -1, padding=[1] * 4))
    y = net.node("conv2d", y, weight, -1, padding=[1] * 4, stride=[2, 2])
    logits = net.linear(net.node("flatten", net.node("adaptive_avg_pool2d", y, output_size=[1, 1])), 5)
    program = net.program(net.node("cross_entropy", logits, labels))
    data, truth = image(3, 4, 6, 6), np.array([0, 3, 4])
    loss, gradients = net.exact_gradients(data, truth)
    assert program.forward_backward([data, truth])[0] == pytest.approx(loss, rel=1e-5)
    for got, want in zip(net.gradient_views(program), gradients, strict=True):
        assert_near(got, want, net.roundings(), "shared parameter")


# --- running costs nothing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_running_allocates_nothing(name: str) -> None:
    x, labels = batch_of()
    _, program = make(NETWORKS[name], training=False)
    net, training = make(NETWORKS[name], training=True)
    optimizer = _core.Optimizer("adam", {}, [p.size for p in net.parameters.values()])
    for threads in (1, 2):
        _core.set_num_threads(threads)
        program.run([x])
        training.step([x, labels], optimizer, 0.01)
        before = _core.allocation_count()
        for version in range(5):
            program.run([x], version)
            training.step([x, labels], optimizer, 0.01, 1, version)
            training.forward_backward([x, labels])
            training.update(optimizer, 0.01)
        assert _core.allocation_count() == before


@pytest.mark.parametrize("name", NETWORKS)
def test_the_memory_report_adds_up(name: str) -> None:
    for training in (False, True):
        net, program = make(NETWORKS[name], training)
        memory = program.memory()
        assert memory["parameters"] == sum(p.nbytes for p in net.parameters.values())
        assert memory["buffers"] == sum(b.nbytes for b in net.buffers.values())
        assert memory["gradients"] == (net.gradients.nbytes if training else 0)
        assert memory["arena"] == memory["activations"] + memory["workspace"]
        parts = ("parameters", "buffers", "gradients", "packed", "arena")
        assert memory["total"] == sum(memory[part] for part in parts)


def test_inference_keeps_only_what_is_live() -> None:
    def deep(net: Network, x: int) -> int:
        for _ in range(20):
            x = net.node("relu", net.conv(x, 16, 3))
        return net.linear(net.node("flatten", net.node("adaptive_avg_pool2d", x, output_size=[1, 1])), 10)

    _, inference = make(deep, training=False)
    _, training = make(deep, training=True)
    one = 4 * IMAGES[0] * 16 * IMAGES[2] * IMAGES[3]
    assert inference.memory()["activations"] < 4 * one
    assert training.memory()["activations"] > 20 * one
    assert training.memory()["activations"] < 50 * one


def test_the_memory_report_holds_against_the_measured_peak(python: Callable[..., str]) -> None:
    """The process grows by what the report says, not by more than an eighth and 8 MiB beyond it."""
    code = """
import sys
import numpy as np
from convcore import _core
from networks import Network

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

net = Network(training=True)
x, y = net.input(8, 16, 96, 96), net.input(8, dtype="int64", name="y")
z = net.node("relu", net.batch_norm(net.conv(x, 32, 3)))
z = net.node("add", net.node("relu", net.conv(z, 32, 3)), z)
z = net.node("max_pool2d", net.conv(z, 32, 3), kernel_size=[2, 2])
z = net.linear(net.node("flatten", net.node("adaptive_avg_pool2d", z, output_size=[1, 1])), 10)
loss = net.node("cross_entropy", z, y)
images, labels = np.ones((8, 96, 96, 16), np.float32).transpose(0, 3, 1, 2), np.zeros(8, np.int64)
before = peak()
program = net.program(loss)
for _ in range(2):
    program.forward_backward([images, labels])
print(peak() - before, program.memory()["total"])
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's /proc")
    here = str(Path(__file__).parent)
    grown, promised = map(int, python(f"import sys; sys.path.insert(0, {here!r})\n{code}").split())
    assert promised > 50 << 20
    assert promised * 0.5 < grown < promised * 1.125 + (8 << 20)


def test_steps_tell_what_is_run() -> None:
    net, program = make(residual, training=False)
    steps = program.steps()
    assert [s["kind"] for s in steps] == [n.kind for n in net.nodes]
    assert sum(s["parameters"] for s in steps) == sum(p.size for p in net.parameters.values())
    convolutions = [s for s in steps if s["kind"] == "conv2d"]
    assert all(s["algorithm"] in ("winograd", "direct", "im2col") for s in convolutions)
    assert steps[0]["output"] == (IMAGES[0], 8, 12, 12)
    assert steps[0]["flops"] == 2 * IMAGES[0] * 8 * 12 * 12 * 3 * 9


def test_profile_times_every_step() -> None:
    x, _ = batch_of()
    net, program = make(residual, training=False)
    profile = program.profile([x])
    assert [s["name"] for s in profile] == [s["name"] for s in program.steps()]
    assert all(s["seconds"] >= 0 for s in profile)
    assert len(profile) == len(net.nodes)


def test_training_profiles_have_every_pass() -> None:
    net, program = make(residual, training=True)
    optimizer = _core.Optimizer("adam", {}, [p.size for p in net.parameters.values()])
    plain = program.profile(batch_of())
    assert [{k: s[k] for k in step} for s, step in zip(plain, program.steps(), strict=True)] == program.steps()
    profile = program.profile(batch_of(), optimizer, 1e-3)
    assert [s["pass"] for s in profile] == [s["pass"] for s in plain] + ["update"]
    assert optimizer.step_count == 1
    forward, backward = ([s for s in profile if s["pass"] == which] for which in ("forward", "backward"))
    assert len(forward) == len(net.nodes) + 1  # with the count of right answers
    assert all(s["seconds"] > 0 and s["bytes"] > 0 and s["threads"] >= 1 for s in backward)
    convolutions = {s["name"]: s for s in backward if s["kind"] == "conv2d"}
    assert convolutions["conv0"]["algorithm"].startswith("weight: ")  # nobody wants the image's gradient
    assert convolutions["conv3"]["algorithm"].startswith("input: ")
    for step in forward:
        if step["kind"] == "conv2d":
            passes = 1 if step["name"] == "conv0" else 2
            assert convolutions[step["name"]]["flops"] == passes * step["flops"]
    size = sum(p.size for p in net.parameters.values())
    assert profile[-1]["bytes"] == 4 * 7 * size


# --- training ----------------------------------------------------------------------------------------------------


def train(threads: int, steps: int = 20) -> tuple[list[float], Network]:
    _core.set_num_threads(threads)
    net, program = make(residual, training=True, batch=16)
    optimizer = _core.Optimizer("sgd", {"momentum": 0.9}, [p.size for p in net.parameters.values()])
    losses = []
    for step in range(steps):
        x, labels = batch_of(16, seed=step % 2)
        losses.append(program.step([x, labels], optimizer, 0.05, 0, step)[0])
    return losses, net


@pytest.mark.parametrize("isa", _core.available_isas())
def test_twenty_steps_are_the_same_bits_for_any_number_of_threads(isa: str) -> None:
    _core.force_isa(isa)
    losses, one = train(1)
    again, two = train(2)
    assert losses == again
    assert losses[-1] < 0.7 * losses[0]
    for a, b in zip(one.parameters.values(), two.parameters.values(), strict=True):
        assert_same_bits(a, b, "parameters after 20 steps")
    for a, b in zip(one.buffers.values(), two.buffers.values(), strict=True):
        assert_same_bits(a, b, "running statistics after 20 steps")


def test_step_is_forward_backward_then_update() -> None:
    x, labels = batch_of()
    nets = [make(residual, training=True) for _ in range(2)]
    optimizers = [_core.Optimizer("adamw", {}, [p.size for p in net.parameters.values()]) for net, _ in nets]
    for step in range(3):
        outputs = nets[0][1].forward_backward([x, labels], 0, step)
        nets[0][1].update(optimizers[0], 0.01)
        scalars = nets[1][1].step([x, labels], optimizers[1], 0.01, 0, step)
        assert scalars == [float(v) for v in outputs]
    for a, b in zip(nets[0][0].parameters.values(), nets[1][0].parameters.values(), strict=True):
        assert_same_bits(a, b, "parameters")


def test_two_programs_share_parameters() -> None:
    """Two batch sizes train one set of weights; a third program, for inference, follows by its version."""
    big, program = make(residual, training=True, batch=8)
    small, small_program = make(residual, training=True, batch=2)
    judge, inference = make(residual, training=False, batch=2)
    small.parameters, small.buffers = dict(big.parameters), dict(big.buffers)
    values = zip(judge.parameters, big.parameters.values(), strict=True)
    judge.parameters = dict(values)
    judge.buffers = dict(zip(judge.buffers, big.buffers.values(), strict=True))
    small.bind(small_program)
    judge.bind(inference)
    optimizer = _core.Optimizer("sgd", {}, [p.size for p in big.parameters.values()])
    before = [p.copy() for p in big.parameters.values()]
    program.step([*batch_of(8)], optimizer, 0.1)
    small_program.step([*batch_of(2)], optimizer, 0.1)
    assert all((p != b).any() for p, b in zip(big.parameters.values(), before, strict=True))
    x, _ = batch_of(2)
    for version in (1, 2):
        logits = inference.run([x], version)[0]
        assert_near(logits, judge.exact(x)[judge.outputs[0]], judge.roundings(), "after training")
        program.step([*batch_of(8)], optimizer, 0.1)


def test_running_statistics_are_updated_once_a_step() -> None:
    net, program = make(residual, training=True)
    x, labels = batch_of()
    mean, variance = list(net.buffers.values())[:2]
    exact = net.exact(x, labels)
    first = exact[net.nodes[0].output]
    program.forward_backward([x, labels])
    count = first.size / first.shape[1]
    np.testing.assert_allclose(mean, 0.1 * first.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    unbiased = first.var((0, 2, 3)) * count / (count - 1)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * unbiased, rtol=1e-4)


def dropout_net() -> tuple[Network, _core.Program]:
    net = Network(training=True)
    x, target = net.input(8, 40), net.input(8, 40, name="y")
    y = net.node("add", net.node("dropout", x, p=0.5), net.node("dropout", x, p=0.5))
    weight = net.parameter("scale", 40, 40)
    return net, net.program(net.node("mse_loss", net.node("linear", y, weight, -1), target, reduction="sum"), y)


def test_dropout_differs_by_layer_step_and_seed_and_by_nothing_else() -> None:
    _, program = dropout_net()
    ones, zeros = np.ones((8, 40), np.float32), np.zeros((8, 40), np.float32)

    def draw(seed: int, step: int) -> Array:
        return program.forward_backward([ones, zeros], seed, step)[1]

    first = draw(3, 7)
    assert set(np.unique(first)) == {0, 2, 4}, "two layers drop independently"
    assert_same_bits(draw(3, 7), first, "the same step")
    assert (draw(3, 8) != first).any()
    assert (draw(4, 7) != first).any()
    _, again = dropout_net()
    _core.set_num_threads(2)
    assert_same_bits(again.forward_backward([ones, zeros], 3, 7)[1], first, "another program")


def test_predicting_from_many_threads_at_once() -> None:
    _core.set_num_threads(2)
    net, program = make(residual, training=False)
    batches = [batch_of(seed=i)[0] for i in range(8)]
    expected = [program.run([x])[0] for x in batches]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            for got, want in zip(pool.map(lambda x: program.run([x])[0], batches), expected, strict=True):
                assert_same_bits(got, want, "concurrent predictions")
    assert len(net.outputs) == 1


def test_nan_in_the_data_reaches_the_loss_and_breaks_nothing() -> None:
    net, program = make(residual, training=True)
    x, labels = batch_of()
    dirty = x.copy()
    dirty[0, 0, 0, 0] = np.nan
    kept = [b.copy() for b in net.buffers.values()]
    assert np.isnan(program.forward_backward([dirty, labels])[0])
    for buffer, value in zip(net.buffers.values(), kept, strict=True):
        buffer[...] = value
    assert np.isfinite(program.forward_backward([x, labels])[0])
    assert np.isfinite(net.gradients).all()
