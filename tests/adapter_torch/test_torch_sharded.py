"""`RuleOptimizer` on parameters that are spread over processes: what one process computes with whole ones.

Two processes do all the work once; the tests read what they report.
"""

import contextlib
import copy
import functools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from processes import gathered

from lrsched import Cosine, rules
from lrsched_torch import RuleOptimizer

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch is built without torch.distributed")

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "fsdp2_lars.py"
S = Cosine(0.05, 0.0, steps=8)
PROCESSES = 2
RULES = {
    "AdamW": rules.AdamW(weight_decay=0.1),
    "LARS": rules.lars(trust_coefficient=0.1, weight_decay=0.1),
    "LAMB": rules.lamb(weight_decay=0.1),
    "clip each": rules.ClipByNorm(0.01) >> rules.Adam(),
    "clip all": rules.ClipByGlobalNorm(0.01) >> rules.lars(trust_coefficient=0.1),
    "clip AdamW": rules.ClipByGlobalNorm(0.01) >> rules.AdamW(),
    "Nesterov with L1": rules.L1(0.1) >> rules.Momentum(0.9, nesterov=True),
    "clip updates": rules.Momentum(0.9) >> rules.ClipByGlobalNorm(1e-3),
    "NovoGrad": rules.NovoGrad(),
    "Prodigy": rules.Prodigy(),
    "Adafactor": rules.Adafactor(),
    "Muon": rules.ClipByGlobalNorm(0.01) >> rules.Split(rules.Muon(), rules.Adam()),
}
# Sums asked for, and so all-reduces, in one update.
REDUCTIONS = {
    "AdamW": 0,
    "LARS": 1,
    "LAMB": 1,
    "clip each": 1,
    "clip all": 2,
    "clip AdamW": 1,
    "Nesterov with L1": 0,
    "clip updates": 1,
    "NovoGrad": 1,
}
DISPATCHED = ("LARS", "LAMB", "clip each", "clip all")
PIECEWISE = ("LARS", "clip all", "clip AdamW", "NovoGrad")
LAYOUTS = ("second dimension", "replicated", "with plain ones", "replicas of shards")
SOME = ("LARS", "clip all", "Muon")


def network(width=3):
    torch.manual_seed(0)
    # 3 rows on 2 processes are uneven; 1 row leaves a process without any.
    return torch.nn.Sequential(torch.nn.Linear(5, width), torch.nn.Tanh(), torch.nn.Linear(width, 1)).double()


def train(model, optimizer, steps, rank=None):
    """Train on whole batches, or on the part of one process."""
    for t in steps:
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
        own = (x if rank is None else x[2 * rank : 2 * rank + 2]).to(next(model.parameters()).dtype)
        optimizer.zero_grad()
        (model(own).sum(dim=1) - own[:, 0]).square().mean().backward()
        optimizer.step()


def whole(p):
    return p.full_tensor() if hasattr(p, "full_tensor") else p


def apart(ps, others, olds):
    """Return the largest difference of parameters, relative to how far they moved."""
    with torch.no_grad():
        moved = max((q - old).abs().max().item() for q, old in zip(others, olds, strict=True))
        return max((whole(p) - q).abs().max().item() for p, q in zip(ps, others, strict=True)) / moved


def trained_alone(rule, width=3):
    model = network(width)
    train(model, RuleOptimizer(model.parameters(), rule, lr=S), range(4))
    return list(model.parameters())


def leaves():
    """Return parameters and gradients without a network."""
    generator = torch.Generator().manual_seed(0)

    def drawn():
        return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 3), (1, 4), (3,))]

    return drawn(), [drawn() for _ in range(3)]


def stepped(rule, laid_out, **options):
    """Update parameters with given gradients; `laid_out(x, i)` places tensor i."""
    values, gradients = leaves()
    ps = [torch.nn.Parameter(laid_out(x, i)) for i, x in enumerate(values)]
    optimizer = RuleOptimizer([{"params": ps[:1]}, {"params": ps[1:], "lr": 2.0 * S}], rule, lr=S, **options)
    for gs in gradients:
        for i, (p, g) in enumerate(zip(ps, gs, strict=True)):
            p.grad = laid_out(g, i)
        optimizer.step()
    return ps


def difference(rule, laid_out, reference=lambda x, i: x.clone(), **options):
    return apart(stepped(rule, laid_out, **options), stepped(rule, reference), leaves()[0])


@contextlib.contextmanager
def changed(module, name, content):
    before = getattr(module, name)
    setattr(module, name, content)
    yield
    setattr(module, name, before)


def message(action):
    try:
        action()
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def fully_sharded(rank):
    from torch.distributed.fsdp import fully_shard

    model = network()
    fully_shard(model, mesh=dist.init_device_mesh("cpu", (PROCESSES,)))
    return model


def report_fsdp(rank, found):
    from torch.distributed.tensor.debug import CommDebugMode

    from lrsched_torch._shared.jobs import WholeTensors
    from lrsched_torch._shared.update import update_with
    from lrsched_torch._spread import shards as _shards

    olds = list(network().parameters())
    for name, rule in RULES.items():
        model = fully_sharded(rank)
        optimizer = RuleOptimizer(model.parameters(), rule, lr=S)
        train(model, optimizer, range(4), rank)
        found["fsdp", name] = apart(model.parameters(), trained_alone(rule), olds)
        kinds = {type(x).__name__ for state in optimizer.state.values() for x in state.values() if hasattr(x, "shape")}
        found["state", name] = kinds
        with CommDebugMode() as communication:
            optimizer.step()
        found["collectives", name] = communication.get_total_counts()
        if name in DISPATCHED:
            optimizer._executor = lambda rule, *_: WholeTensors(update_with(rule), rule, apart=False)
            optimizer._forget()
            with CommDebugMode() as communication:
                optimizer.step()
            found["dispatched", name] = communication.get_total_counts()

    # Pieces of two elements cut every tensor, at other places in each process.
    with changed(_shards, "PIECE_ON_CPU", 2):
        for name in PIECEWISE:
            model = fully_sharded(rank)
            optimizer = RuleOptimizer(model.parameters(), RULES[name], lr=S)
            train(model, optimizer, range(4), rank)
            found["pieces", name] = apart(model.parameters(), trained_alone(RULES[name]), olds)
            with CommDebugMode() as communication:
                optimizer.step()
            found["collectives in pieces", name] = communication.get_total_counts()

    # The graph runs without the C++ compiler.
    with changed(torch, "compile", functools.partial(torch.compile, backend="eager")):
        for name in SOME:
            model = fully_sharded(rank)
            train(model, RuleOptimizer(model.parameters(), RULES[name], lr=S, compile=True), range(4), rank)
            found["compiled", name] = apart(model.parameters(), trained_alone(RULES[name]), olds)


def report_first_values(rank, found):
    """Train by a rule that keeps the parameters of the first update: in float32 and in float64 nothing is converted."""
    from torch.distributed.fsdp import fully_shard

    from lrsched_torch._spread import shards as _shards

    rule = rules.Prodigy(d0=0.1)
    for dtype in (torch.float32, torch.float64):
        for case, most in (("whole", 2**16), ("cut", 2)):
            with changed(_shards, "PIECE_ON_CPU", most):
                model, alone = network().to(dtype), network().to(dtype)
                olds = [p.detach().clone() for p in model.parameters()]
                fully_shard(model, mesh=dist.init_device_mesh("cpu", (PROCESSES,)))
                optimizer = RuleOptimizer(model.parameters(), rule, lr=S)
                train(model, optimizer, range(4), rank)
                train(alone, RuleOptimizer(alone.parameters(), rule, lr=S), range(4))
                starts = [whole(optimizer.state[p]["start"]) for p in model.parameters()]
                found["first values", dtype, case] = all(map(torch.equal, starts, olds))
                found["from first values", dtype, case] = apart(model.parameters(), list(alone.parameters()), olds)


def report_layouts(rank, found):
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

    line = dist.init_device_mesh("cpu", (PROCESSES,))
    grid = dist.init_device_mesh("cpu", (PROCESSES, 1), mesh_dim_names=("copies", "shards"))
    placed = {
        "second dimension": lambda x, i: distribute_tensor(x, line, [Shard(x.ndim - 1)]),
        "replicated": lambda x, i: distribute_tensor(x, line, [Replicate()]),
        "with plain ones": lambda x, i: distribute_tensor(x, line, [Shard(0)]) if i == 0 else x.clone(),
        "replicas of shards": lambda x, i: distribute_tensor(x, grid, [Replicate(), Shard(0)]),
    }
    for layout, laid_out in placed.items():
        for name in SOME:
            found[layout, name] = difference(RULES[name], laid_out)

    def local(x, i):
        return x.chunk(PROCESSES)[rank].clone() if rank < len(x.chunk(PROCESSES)) else x[:0].clone()

    ps, alone = stepped(RULES["LARS"], local), stepped(RULES["LARS"], lambda x, i: x.clone())
    found["local norms"] = apart(ps[:1], [local(alone[0], 0)], [local(leaves()[0][0], 0)])

    p = torch.nn.Parameter(placed["second dimension"](torch.ones(2, 2), 0))
    optimizer = RuleOptimizer([p], rules.Momentum(0.9), lr=0.1)
    p.grad = DTensor.from_local(torch.ones(2, 2), line, [Partial()])
    optimizer.step()
    found["partial gradient"] = whole(p).detach()  # each process holds a half of the gradient, which is 2
    optimizer.state[p]["v"] = torch.ones(2, 2)
    found["plain state"] = message(optimizer.step)
    partial = torch.nn.Parameter(DTensor.from_local(torch.ones(2, 2), line, [Partial()]))
    partial.grad = DTensor.from_local(torch.ones(2, 2), line, [Partial()])
    found["partial parameter"] = message(RuleOptimizer([partial], rules.SGD(), lr=0.1).step)


def report_zero(rank, found, folder):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    olds = list(network().parameters())
    world = dist.group.WORLD
    clipped = rules.ClipByGlobalNorm(0.01) >> rules.Momentum(0.9)
    for name, rule, group in (("LARS", RULES["LARS"], None), ("clip", clipped, world), ("clip each", clipped, None)):
        model = network()
        local = functools.partial(RuleOptimizer, rule=rule, lr=S, totals_over=group)
        optimizer = ZeroRedundancyOptimizer(model.parameters(), local)
        train(model, optimizer, range(2))
        optimizer.consolidate_state_dict()
        if rank == 0:
            torch.save(optimizer.state_dict(), folder / "zero.pt")
        dist.barrier()
        twin = copy.deepcopy(model)
        resumed = ZeroRedundancyOptimizer(twin.parameters(), local)
        resumed.load_state_dict(torch.load(folder / "zero.pt", weights_only=True))
        train(twin, resumed, range(2, 4))
        found["zero", name] = apart(twin.parameters(), trained_alone(rule), olds)
    # More processes than parameters: one of them holds none, and takes part in the total all the same.
    p = torch.nn.Parameter(torch.full((3,), 2.0))
    p.grad = torch.ones(3)
    local = functools.partial(RuleOptimizer, rule=rules.ClipByGlobalNorm(1.0) >> rules.SGD(), totals_over=world)
    ZeroRedundancyOptimizer([p], local, lr=1.0).step()
    found["zero", "one parameter"] = p.detach()
    # Stages of a pipeline: each process has parameters of its own.
    q = torch.nn.Parameter(torch.zeros(1))
    q.grad = torch.tensor([[3.0], [4.0]][rank])
    RuleOptimizer([q], rules.ClipByGlobalNorm(1.0) >> rules.SGD(), lr=1.0, totals_over=world).step()
    found["stage"] = q.detach()

    from torch.distributed.fsdp import FullyShardedDataParallel

    gradient = torch.full((2, 2), 3.0)  # with a norm of 6
    for case, rule, group in (
        ("flattened", rules.lars(), None),
        ("flattened clip", clipped, None),
        ("flattened decay", rules.AdamW(min_ndim=2), None),
        ("flattened total", rules.ClipByGlobalNorm(1.0) >> rules.SGD(), world),
    ):
        linear = torch.nn.Linear(2, 2, bias=False)
        torch.nn.init.zeros_(linear.weight)
        linear = FullyShardedDataParallel(linear, use_orig_params=True, device_id=torch.device("cpu"))
        linear(gradient[:1]).sum().backward()
        optimizer = RuleOptimizer(linear.parameters(), rule, lr=1.0, totals_over=group)
        found[case] = message(optimizer.step)
    found["flattened total"] = torch.cat([p.detach().flatten() for p in linear.parameters()])

    found["no group"] = message(lambda: RuleOptimizer([q], rules.SGD(), lr=1.0, totals_over="world"))


def state_of(model, optimizer):
    from torch.distributed.checkpoint.state_dict import get_state_dict

    weights, moments = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": moments}


def resume(model, optimizer, path):
    import torch.distributed.checkpoint as checkpoint
    from torch.distributed.checkpoint.state_dict import set_state_dict

    state = state_of(model, optimizer)
    checkpoint.load(state, checkpoint_id=path)
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])


RESUMED = ("LAMB", "NovoGrad", "Adafactor")


def report_checkpoints(rank, found, folder):
    import torch.distributed.checkpoint as checkpoint

    olds = list(network().parameters())
    for name in RESUMED:
        model = fully_sharded(rank)
        optimizer = RuleOptimizer(model.parameters(), RULES[name], lr=S)
        train(model, optimizer, range(2), rank)
        checkpoint.save(state_of(model, optimizer), checkpoint_id=folder / f"two {name}")
        model = fully_sharded(rank)
        optimizer = RuleOptimizer(model.parameters(), RULES[name], lr=S)
        resume(model, optimizer, folder / f"one {name}")
        train(model, optimizer, range(2, 4), rank)
        found["one to two", name] = apart(model.parameters(), trained_alone(RULES[name]), olds)


def work(rank, folder):
    found = {}
    report_fsdp(rank, found)
    report_first_values(rank, found)
    report_layouts(rank, found)
    report_zero(rank, found, folder)
    report_checkpoints(rank, found, folder)
    return found


def work_on_grid(rank, folder):
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    found = {}
    mesh = dist.init_device_mesh("cpu", (2, 2), mesh_dim_names=("outer", "inner"))
    plan = {"0": ColwiseParallel(), "2": RowwiseParallel()}
    for name in SOME:
        olds, alone = list(network(8).parameters()), trained_alone(RULES[name], 8)
        for case in ("replicas of shards", "tensor parallel"):
            model = network(8)
            if case == "tensor parallel":
                parallelize_module(model, mesh["inner"], plan)
                fully_shard(model, mesh=mesh["outer"])
            else:
                fully_shard(model, mesh=mesh)
            # With replicas, each of the two halves of the batch is seen twice, so the average is the same.
            train(model, RuleOptimizer(model.parameters(), RULES[name], lr=S), range(4), rank // 2)
            found[case, name] = apart(model.parameters(), alone, olds)
            found[case, "placements"] = str([p.placements for p in model.parameters()])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the checkpoints of one process are, and then those of several."""
    import torch.distributed.checkpoint as checkpoint

    path = tmp_path_factory.mktemp("sharded")
    for name in RESUMED:
        model = network()
        optimizer = RuleOptimizer(model.parameters(), RULES[name], lr=S)
        train(model, optimizer, range(2))
        checkpoint.save(state_of(model, optimizer), checkpoint_id=path / f"one {name}")
    return path


@pytest.fixture(scope="module")
def found(folder):
    """What each process found."""
    return gathered(work, folder, PROCESSES)


@pytest.mark.parametrize("name", RULES)
def test_fsdp_trains_as_one_process(found, name):
    assert max(one["fsdp", name] for one in found) < 1e-10


def test_norms_of_the_local_shards_would_fail_the_comparison(found):
    assert min(one["local norms"] for one in found) > 1e-3


@pytest.mark.parametrize("name", REDUCTIONS)
def test_one_step_needs_one_all_reduce_for_each_request_of_sums(found, name):
    assert [one["collectives", name] for one in found] == [REDUCTIONS[name]] * PROCESSES


@pytest.mark.parametrize("name", DISPATCHED)
def test_they_are_fewer_than_those_of_the_dispatch_of_torch(found, name):
    assert all(one["collectives", name] < one["dispatched", name] for one in found)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains_as_one_process(found, layout, name):
    assert max(one[layout, name] for one in found) < 1e-10


@pytest.mark.parametrize("name", SOME)
def test_a_compiled_update_trains_as_one_process(found, name):
    assert max(one["compiled", name] for one in found) < 1e-10


@pytest.mark.parametrize("name", PIECEWISE)
def test_large_parameters_are_updated_in_pieces_with_the_same_collectives(found, name):
    assert max(one["pieces", name] for one in found) < 1e-10
    assert [one["collectives in pieces", name] for one in found] == [REDUCTIONS[name]] * PROCESSES


@pytest.mark.parametrize("case", ["whole", "cut"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_a_slot_keeps_what_the_parameter_was(found, case, dtype, tolerance):
    assert all(one["first values", dtype, case] for one in found)
    assert max(one["from first values", dtype, case] for one in found) < tolerance


def test_moments_are_sharded_and_numbers_of_a_tensor_are_not(found):
    assert all(one["state", "AdamW"] == {"DTensor"} for one in found)
    assert all(one["state", "NovoGrad"] == {"DTensor", "Tensor"} for one in found)


def test_a_gradient_is_brought_to_the_placement_of_its_parameter(found):
    assert all(torch.equal(one["partial gradient"], torch.full((2, 2), 1 - 0.1 * PROCESSES)) for one in found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain state", "TypeError: the state 'v' of a parameter of shape (2, 2) must be a DTensor placed like it"),
        ("partial parameter", "ValueError: RuleOptimizer(params=...) must be sharded or replicated, got one of shape"),
        ("flattened", "must see the borders of tensors, got parameters of FullyShardedDataParallel"),
        ("flattened clip", "use fully_shard (or totals_over=..., if only a total norm is asked)"),
        ("flattened decay", "must see the borders of tensors"),
        ("no group", "TypeError: RuleOptimizer(totals_over=...) must be a ProcessGroup or None, got 'world'"),
    ],
)
def test_what_cannot_be_right_is_refused(found, name, text):
    assert all(text in one[name] for one in found)


@pytest.mark.parametrize("name", ["LARS", "clip"])
def test_zero_trains_and_resumes_as_one_process(found, name):
    assert max(one["zero", name] for one in found) < 1e-10


def test_a_total_norm_of_each_process_would_fail_the_comparison(found):
    assert min(one["zero", "clip each"] for one in found) > 1e-2


def test_a_process_without_parameters_takes_part_in_the_total(found):
    # Three gradients of 1: each is clipped to 1 / sqrt(3).
    assert all(torch.allclose(one["zero", "one parameter"], torch.full((3,), 2 - 3**-0.5)) for one in found)


def test_a_total_norm_runs_over_the_stages_of_a_pipeline(found):
    # Gradients 3 and 4 have the norm 5.
    assert torch.allclose(torch.cat([one["stage"] for one in found]), torch.tensor([-0.6, -0.8]))


def test_a_total_norm_runs_over_the_flat_shards_of_the_first_fsdp(found):
    # The gradient is 3 in all 4 places, with the norm 6.
    assert all(torch.allclose(one["flattened total"], torch.tensor(-0.5)) for one in found)


@pytest.mark.parametrize("name", RESUMED)
def test_a_checkpoint_of_one_process_goes_on_in_two(found, name):
    assert max(one["one to two", name] for one in found) < 1e-10


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("name", RESUMED)
def test_a_checkpoint_of_two_processes_goes_on_in_one(folder, name):
    model = network()
    optimizer = RuleOptimizer(model.parameters(), RULES[name], lr=S)
    resume(model, optimizer, folder / f"two {name}")
    train(model, optimizer, range(2, 4))
    assert apart(model.parameters(), trained_alone(RULES[name]), list(network().parameters())) < 1e-10


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """What each of four processes found."""
    path = tmp_path_factory.mktemp("grid")
    return gathered(work_on_grid, path, 4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("case", ["replicas of shards", "tensor parallel"])
def test_a_grid_of_four_processes_trains_as_one(grid, case, name):
    assert max(one[case, name] for one in grid) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "text"), [("replicas of shards", "Replicate(), Shard"), ("tensor parallel", "_StridedShard(dim=0")]
)
def test_the_grid_has_replicas_and_two_dimensions_of_shards(grid, case, text):
    assert all(text in one[case, "placements"] for one in grid)


@pytest.mark.slow
def test_the_example_runs_and_goes_on_in_another_number_of_processes(tmp_path):
    for processes, line in ((2, "step 20: loss"), (1, "step 40: loss")):
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", str(EXAMPLE)]
        command = [sys.executable, *command, str(tmp_path / "checkpoint")]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert line in done.stdout
