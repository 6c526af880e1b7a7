"""The body of a rule as graphs for the compiler: one for each reduction, and one that writes the results in place.

What depends on the learning rate and the step alone is cut out and computed once for all tensors, in float64, as the
rest would otherwise compute it again for each element. Between two graphs no array is kept, only sums: the next graph
computes again what it needs. Lengths are dynamic, so one compilation serves every tensor and every bucket.

Here a tensor is a name in an `Env`: "p", "g", "slot0", ... `_traced` runs the body of the rule once on tiny examples
and writes down what it does to them; `_split` takes from that graph what belongs to the update (`key`), then what
belongs to a tensor or a row (`own`); the rest, `main`, is compiled to one loop. `_joined/engines.py` runs the three in
this order, each adding its results to the `Env`. `program.py` takes the same graph apart for C++ and Triton instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from lrsched import rules
from lrsched_torch._shared.compiling import compiling, undisturbed
from lrsched_torch._shared.facts import Facts, facts_of, ops, rebuilt
from lrsched_torch._shared.update import apart

Env = dict[str, Any]
TABLES = rules.RowTables._fields
# What belongs to the update, not to the tensor.
KEY = ("lr", "step", "rank")
# And what a gradient scaler has said of its gradients: 1 / scale, and not 0 if one is infinite.
SCALED = (*KEY, "inverse", "found")

# An array between two loops costs more than to compute it twice: in one loop it is computed once in any case.
FUSED = {"realize_reads_threshold": 10_000, "realize_opcount_threshold": 10_000}


class Form(NamedTuple):
    """All that a graph depends on."""

    rule: rules.Rule
    rows: bool
    p: torch.dtype
    g: torch.dtype
    work: torch.dtype
    maximize: bool
    master: bool  # `p` is the copy in the working dtype, and `low` the parameter
    device: str
    scaled: bool = False  # gradients are scaled, and may be infinite, in which case nothing is to change

    @property
    def scalars(self) -> tuple[str, ...]:
        """The inputs that belong to the update."""
        return SCALED if self.scaled else KEY


@dataclass(frozen=True)
class Piece:
    """A graph, and the names of what it takes and gives."""

    takes: tuple[str, ...]
    gives: tuple[str, ...]
    run: Callable[..., Any]

    def __call__(self, env: Env) -> Env:
        """Return what the graph makes of what it takes from `env`."""
        return dict(zip(self.gives, self.run(*map(env.__getitem__, self.takes)), strict=True))


# One pass over the tensors: what is computed once for all of them, what once for each, and what for each element.
Passes = tuple[tuple[Piece, Piece, Piece], ...]


def known_names(facts: Facts, phase: int) -> list[str]:
    """Return the names of the results of one reduction."""
    return [f"known{phase}_{j}" for j in range(facts.counts[phase])]


def compile_graph(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., Any]:
    """Return the graph compiled, for any lengths of its inputs.

    Raises:
        CannotCompile: Inductor fails.
    """
    options = {"config_patches": FUSED}
    # No code of a user runs here, and Inductor may raise anything: what its caches and subprocesses raise, too.
    with compiling(lambda: (Exception,)), undisturbed():
        # Without the guards and the frame of torch.compile, which take longer than the update of a bucket.
        return torch._inductor.standalone_compile(graph, list(examples), dynamic_shapes="from_graph", options=options)


@lru_cache(maxsize=64)
def phases_of(form: Form, compile: bool = True) -> Passes:
    """Return the passes of a rule: one for each reduction, and the last one, which writes.

    Args:
        form: what their graphs depend on.
        compile: whether to compile these, or leave them as they are.

    Raises:
        CannotCompile: they cannot be compiled.
    """
    facts = facts_of(form.rule)
    tiny, large = _examples(form, facts, small=True), _examples(form, facts, small=False)
    count = len(facts.reductions)
    keys, mains, uniques = [], [], []
    for i in range(count + 1):
        graph = _traced(form, facts, i, tiny)
        totals = [n for j in range(i) if facts.reductions[j] == "total" for n in known_names(facts, j)]
        key, main = _split(graph, {*form.scalars, *totals}, f"key{i}_")
        # What a tensor or a row needs once, such as its trust ratio, would else be computed for each element.
        wide = {label for label, name in zip(facts.labels, facts.names, strict=True) if name in facts.wide}
        unique, main = _split(main, {*main.takes} - {"p", "low", "g", *wide}, f"own{i}_")
        for env in (tiny, large):
            # Of the right shape and dtype; contents do not matter.
            env |= key(tiny)
            env |= unique(env)
        keys.append(key)
        uniques.append(unique)
        mains.append(main)
    passes = []
    for i, (key, main) in enumerate(zip(keys, mains, strict=True)):
        piece = main if i == count else replace(main, gives=tuple(known_names(facts, i)))
        # It follows from the sums, in the same graph; without sums it is a graph of its own.
        own = Piece((), (), lambda: ()) if _after_sums(facts, i) else uniques[i]
        if i < count and _after_sums(facts, i + 1):
            piece = _joined(piece, uniques[i + 1], tiny)
        if compile:
            run = compile_graph(piece.run, [large[name] for name in piece.takes])  # type: ignore[arg-type]  # a GraphModule
            piece = replace(piece, run=run)
        passes.append((key, own, piece))
    return tuple(passes)


def _after_sums(facts: Facts, phase: int) -> bool:
    return phase > 0 and facts.reductions[phase - 1] == "sums"


def _examples(form: Form, facts: Facts, small: bool) -> Env:
    """Return an input of each name: small ones to trace with, large ones for what the compiler expects.

    All lengths differ, or the compiler takes them for the same.
    """
    rows, width, tensors, flat = (3, 4, 2, 5) if small else (3001, 1024, 7, 2**20)
    wide = (rows, width) if form.rows else (flat,)
    make = torch.ones if small else torch.empty

    def array(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return make(shape, dtype=dtype, device=form.device)

    env: Env = {"p": array(wide, form.work if form.master else form.p), "g": array(wide, form.g)}
    if form.master:
        env["low"] = array(wide, form.p)
    for label, name in zip(facts.labels, facts.names, strict=True):
        env[label] = array(wide if name in facts.wide else (tensors,) if form.rows else (), form.work)
    env |= {name: array((), form.work) for name in form.scalars}
    if form.rows:
        counts = torch.tensor([2, 1]) if small else torch.tensor([rows - tensors + 1] + [1] * (tensors - 1))
        owner = torch.repeat_interleave(torch.arange(tensors), counts)
        found = (owner, counts, counts.cumsum(0) - counts, torch.ones(rows, 1, dtype=torch.int64))
        env |= {name: x.to(form.device) for name, x in zip(TABLES, found, strict=True)}
    for i, reduction in enumerate(facts.reductions):
        shape = (rows, 1) if form.rows and reduction == "sums" else ()
        env |= {name: array(shape, form.work) for name in known_names(facts, i)}
    return env


def traced(form: Form, facts: Facts, phase: int) -> Graph:
    """Return the graph of one pass, whose inputs have the names of what they are."""
    graph: Graph = _traced(form, facts, phase, _examples(form, facts, small=True)).run.graph  # type: ignore[attr-defined]  # a GraphModule
    return graph


def _traced(form: Form, facts: Facts, phase: int, tiny: Env) -> Piece:
    """Return the graph of the body as far as reduction number `phase`, or of all of it with the writing."""
    known = [name for i in range(phase) for name in known_names(facts, i)]
    tables_of = TABLES if form.rows else ()
    takes = ["p", *(["low"] if form.master else []), "g", *facts.labels, *tables_of, *form.scalars, *known]

    def function(*args: Tensor) -> tuple[Tensor, ...]:
        env = dict(zip(takes, args, strict=True))
        p, g = env["p"].to(form.work), env["g"].to(form.work)
        skipped = env["found"] != 0.0 if form.scaled else None
        if form.scaled:
            g = g * env["inverse"]
        g = -g if form.maximize else g
        old = rebuilt(facts, [env[name] for name in facts.labels])
        taken = []
        for i in range(phase):
            values = [env[name] for name in known_names(facts, i)]
            taken.append(values if facts.reductions[i] == "sums" else values[0])
        if form.rows:
            tables = rules.RowTables(*(env[name] for name in TABLES))
            context, slots = tables.context(ops(), env["lr"], env["step"]), tables.wide(old)
        else:
            context, slots = flat_context(env["lr"], env["step"], env["rank"]), old
        if phase < len(facts.reductions):
            found = rules.next_reduction(lambda c: form.rule.body(c, [p], [g], [slots]), context, taken)
            assert found is not None  # facts say that there is one
            return tuple(found.result) if found.kind == "sums" else (found.result,)
        (update,), (new,) = form.rule.body(context.replaying(taken), [p], [g], [slots])
        moved = _unless(skipped, p - update, p)
        if form.rows:
            new = tables.narrow(new)
        targets = [env["p"], *([env["low"]] if form.master else []), *facts.arrays(old)]
        kept = map(_unless, [skipped] * len(facts.labels), facts.arrays(new), facts.arrays(old))
        contents = [moved, *([moved] if form.master else []), *kept]
        for target, content in zip(targets, apart(targets, contents), strict=True):
            if content is not target:
                target.copy_(content)
        return ()

    # What a rule raises itself, eager PyTorch raises again; but it may look at the content of a tensor.
    with torch.no_grad(), compiling(lambda: (RuntimeError,)), undisturbed():
        graph = make_fx(function)(*(tiny[name] for name in takes))
    for node, name in zip((n for n in graph.graph.nodes if n.op == "placeholder"), takes, strict=True):
        node.name = node.target = name
    if form.scaled:
        _use_kept(graph.graph)
        graph.recompile()
    return Piece(tuple(takes), (), graph)


def _unless(skipped: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
    """Return the new content, or the old one in a step that is skipped."""
    return new if skipped is None or new is old else torch.where(skipped, old, new)


def _use_kept(graph: Graph) -> None:
    """Let what follows from the new content of a slot follow from what is kept of it.

    The two differ only in a step that is skipped, in which nothing follows; and a later pass finds the latter there.
    """
    for copy in graph.find_nodes(op="call_function", target=torch.ops.aten.copy_.default):
        slot: Any = copy.args[0]
        kept: Any = copy.args[1]
        if kept.target == torch.ops.aten.where.self and kept.args[1] is slot and kept.args[2].op == "call_function":
            new = kept.args[2]
            new.append(kept)
            new.replace_all_uses_with(kept, delete_user_cb=lambda user, kept=kept: user is not kept)


def flat_context(lr: Any, step: Any, rank: Any) -> rules.Context:
    """Return the context in which a body sees one tensor, or a bucket of those it treats alike."""
    return rules.Context.of_list(ops(), [rank], lr, step)


def _split(piece: Piece, early_inputs: set[str], prefix: str) -> tuple[Piece, Piece]:
    """Cut a graph in two: what depends on some of the inputs alone, and the rest, which takes its results."""
    graph = piece.run.graph  # type: ignore[attr-defined]  # a GraphModule
    early: dict[Node, None] = {}
    free: set[Node] = set()  # constants, which both parts may have
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "placeholder":
            if node.name in early_inputs:
                early[node] = None
        elif node.op == "get_attr" or (node.op == "call_function" and not inputs):
            free.add(node)
        elif node.op == "call_function" and not _writes(node) and all(n in early or n in free for n in inputs):
            if any(n in early for n in inputs):
                early[node] = None
            else:
                free.add(node)
    inner = [n for n in early if n.op != "placeholder"]
    outs = [n for n in inner if any(user not in early for user in n.users)]
    first, second = Graph(), Graph()
    names = {node: f"{prefix}{i}" for i, node in enumerate(outs)}
    mapped = {node: first.placeholder(node.name) for node in early if node.op == "placeholder"}
    for node in graph.nodes:
        if (node in early and node.op != "placeholder") or node in free:
            mapped[node] = first.node_copy(node, lambda n: mapped[n])
    first.output(tuple(mapped[n] for n in outs))
    mapped = {node: second.placeholder(node.name) for node in graph.nodes if node.op == "placeholder"}
    mapped |= {node: second.placeholder(name) for node, name in names.items()}
    for node in graph.nodes:
        if node.op in ("get_attr", "call_function") and node not in early:
            mapped[node] = second.node_copy(node, lambda n: mapped[n])
        elif node.op == "output":
            second.output(torch.fx.node.map_arg(node.args[0], lambda n: mapped[n]))
    return _pruned(piece, first, tuple(names.values())), _pruned(piece, second, piece.gives)


def _pruned(piece: Piece, graph: Graph, gives: tuple[str, ...]) -> Piece:
    """Return a part of a piece without what nothing needs, be it an operation or an input."""
    graph.eliminate_dead_code()
    for node in graph.find_nodes(op="placeholder"):
        if not node.users:
            graph.erase_node(node)
    takes = tuple(node.name for node in graph.find_nodes(op="placeholder"))
    return Piece(takes, gives, GraphModule(piece.run, graph))  # type: ignore[arg-type]  # a GraphModule


def _writes(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _joined(first: Piece, second: Piece, tiny: Env) -> Piece:
    """Return one graph that runs both and gives the results of both."""
    takes = tuple(dict.fromkeys([*first.takes, *(n for n in second.takes if n not in first.gives)]))

    def function(*args: Tensor) -> tuple[Tensor, ...]:
        env = dict(zip(takes, args, strict=True))
        env |= first(env)
        env |= second(env)
        return tuple(env[name] for name in (*first.gives, *second.gives))

    with torch.no_grad():
        graph = make_fx(function)(*(tiny[name] for name in takes))
    return Piece(takes, (*first.gives, *second.gives), graph)
