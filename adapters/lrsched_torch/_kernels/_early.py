"""Slots that a rule with norms can write in the pass that adds up its last norms, so that the last pass reads less.

LAMB needs the gradient for its moments only. If the pass of the norms writes the moments, the last one has them from
there, and 40 bytes are moved for each parameter instead of 44.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Graph, GraphModule

from lrsched_torch._graphs import Phase, Piece

COPY = torch.ops.aten.copy_.default


def early_slots(phases: tuple[Phase, ...], wide: Sequence[str], after: Sequence[str]) -> tuple[Phase, ...]:
    """Return the passes with slots written early where that moves less.

    Args:
        phases: the passes, as graphs.
        wide: the slots of the shape of the tensor, as graphs call them.
        after: the results of the last reduction, before which a slot must be known.
    """
    if len(phases) == 1:
        return phases
    *rest, before, last = phases
    contents = {
        node.args[0].name: node.args[1]
        for node in nodes_of(last.main)
        if is_op(node, "copy_") and node.args[0].name in wide and node.args[1].op != "placeholder"
    }
    chosen = {name for name, content in contents.items() if not _leaves(content, last) & {*after}}
    while chosen:
        finish, stale = _finished(last.main, chosen)
        if not stale:
            break
        chosen -= stale
    else:
        return phases
    start = _started(before.main, last, {name: contents[name] for name in sorted(chosen)})
    if _moves(start) + _moves(finish) >= _moves(before.main) + _moves(last.main):
        return phases
    return (*rest, before._replace(main=start), last._replace(main=finish))


def nodes_of(piece: Piece) -> list[Any]:
    """Return the nodes of a graph."""
    return list(piece.run.graph.nodes)  # type: ignore[attr-defined]  # a GraphModule


def is_op(node: Any, name: str) -> bool:
    """Return whether a node is the operation of that name."""
    return node.op == "call_function" and str(node.target) == f"aten.{name}.default"


def read_by(piece: Piece) -> set[str]:
    """Return the names that a graph reads, not only writes."""
    found = set()
    for node in nodes_of(piece):
        inputs = node.all_input_nodes
        found |= {x.name for x in (inputs[1:] if is_op(node, "copy_") else inputs) if x.op == "placeholder"}
    return found


def _moves(piece: Piece) -> int:
    """Return how many arrays a pass reads and writes; a slot has at least as many bytes as the others."""
    written = sum(is_op(node, "copy_") for node in nodes_of(piece))
    return written + sum(name in ("p", "g") or name.startswith("slot") for name in read_by(piece))


def _own_outputs(phase: Phase) -> dict[str, Any]:
    (output,) = (node for node in nodes_of(phase.own) if node.op == "output")
    return dict(zip(phase.own.gives, output.args[0], strict=True))


def _leaves(content: Any, phase: Phase) -> set[str]:
    """Return the inputs on which a node depends, through what belongs to the tensor."""
    own, found, todo = _own_outputs(phase), set(), [content]
    while todo:
        node = todo.pop()
        if node.op == "placeholder" and node.name in own:
            todo.append(own[node.name])
        elif node.op == "placeholder":
            found.add(node.name)
        todo += node.all_input_nodes
    return found


def _finished(main: Piece, chosen: Collection[str]) -> tuple[Piece, set[str]]:
    """Return the last pass that finds the new contents of slots, and the slots whose old contents it still needs."""
    graph = Graph()
    mapped: dict[Any, Any] = {}
    graph.output(graph.graph_copy(main.run.graph, mapped))  # type: ignore[attr-defined]  # a GraphModule
    for node in nodes_of(main):
        if is_op(node, "copy_") and node.args[0].name in chosen:
            slot, content = mapped[node.args[0]], mapped[node.args[1]]
            graph.erase_node(mapped[node])
            with graph.inserting_before(slot):
                new = graph.placeholder(f"new_{slot.name}")
            content.replace_all_uses_with(new)
    graph.eliminate_dead_code()
    places = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    stale = {name for name in chosen if places[name].users}
    for name in () if stale else chosen:
        places[f"new_{name}"].replace_all_uses_with(places[name])
        graph.erase_node(places[f"new_{name}"])
    return Piece((), main.gives, GraphModule(main.run, graph)), stale  # type: ignore[arg-type]  # a GraphModule


def _started(main: Piece, last: Phase, contents: Mapping[str, Any]) -> Piece:
    """Return the pass before the last, which writes the new contents of slots too."""
    graph = Graph()
    output = graph.graph_copy(main.run.graph, {})  # type: ignore[attr-defined]  # a GraphModule
    places = {node.name: node for node in graph.nodes if node.op == "placeholder"}
    own, made = _own_outputs(last), {}

    def input_of(name: str) -> Any:
        if name not in places:
            first = next(iter(graph.nodes))
            with graph.inserting_before(first):
                places[name] = graph.placeholder(name)
        return places[name]

    def copied(node: Any) -> Any:
        if node.op == "placeholder":
            return copied(own[node.name]) if node.name in own else input_of(node.name)
        if node not in made:
            for x in node.all_input_nodes:
                copied(x)
            made[node] = graph.node_copy(node, copied)
        return made[node]

    for name, content in contents.items():
        graph.call_function(COPY, (input_of(name), copied(content)))
    graph.output(output)
    return Piece((), main.gives, GraphModule(main.run, graph))  # type: ignore[arg-type]  # a GraphModule
