"""Every error that the package raises says what, where and what mends it, in one way of writing."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "redwhale"
PLACEHOLDER = "\0"
# Words of another process or library, whose own error said them.
FORWARDED = {
    "core/cluster/slurm_shard.py": "what a task on another node has written down",
    "core/recipe/explain.py": "made of what pydantic found, and looked at by tests/core/test_nearest.py",
    "core/tasks.py": "what a worker process has raised",
    "evaluation/kobest/processes.py": "what a process of scoring has raised",
    "evaluation/text_files.py": "what the corpus's reader has raised, with another place",
}
NAMES = (
    "AdamW", "CUDA", "DeepSpeed", "English", "FlexAttention", "KoBEST", "Ray", "Slurm", "W&B",
)  # fmt: skip
EMPTY_WORDS = re.compile(r"\b(invalid|illegal|error|wrong|bad|unsupported|unexpected)\b", re.IGNORECASE)
RAISED = ast.dump(ast.Name("RedwhaleError", ast.Load()))
CODES = {"FAILED", "USAGE", "GATE", "RESOURCES", "INTERRUPTED", "TERMINATED"}


@dataclass(frozen=True)
class Message:
    """One raise: the place in the package, its texts (placeholders as NUL) and the other arguments."""

    place: str
    texts: tuple[str, ...]
    arguments: dict[str, ast.expr]

    def written(self, name: str) -> tuple[str, ...]:
        return tuple(texts_of(self.arguments[name], {})) if name in self.arguments else ()


def texts_of(node: ast.expr | None, known: dict[str, list[ast.expr]]) -> Iterator[str]:
    """Yield every text that an expression may come to; what is not written out is a placeholder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else PLACEHOLDER for part in node.values]
        yield "".join(map(str, parts))
    elif isinstance(node, ast.IfExp):
        yield from texts_of(node.body, known)
        yield from texts_of(node.orelse, known)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (a + b for a in texts_of(node.left, known) for b in texts_of(node.right, known))
    elif isinstance(node, ast.Name) and node.id in known:
        for value in known[node.id]:
            yield from texts_of(value, {name: values for name, values in known.items() if name != node.id})
    else:
        yield PLACEHOLDER


def values_by_name(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Return what is assigned to each name of a function, of pairs too."""
    known: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for name, value in pairs:
                if isinstance(name, ast.Name):
                    known.setdefault(name.id, []).append(value)
    return known


def catalogue() -> list[Message]:
    """Return every call of ``RedwhaleError``, with the calls of a module's own makers of errors in their place."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            calls = list(own_calls(function))
            known = values_by_name(function) if calls else {}
            for name, given in passed_to(tree, function).items() if calls else ():
                known.setdefault(name, []).extend(given)
            for node in calls:
                arguments = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
                what = node.args[0] if node.args else arguments.get("what")
                place = f"{path.relative_to(PACKAGE)}:{node.lineno}"
                found.append(Message(place, tuple(texts_of(what, known)), arguments))
    return found


def own_calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """Yield the calls of ``RedwhaleError`` in a function, not those of functions inside it."""
    functions = [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node is not function]
    inner = {id(node) for other in functions for node in ast.walk(other)}
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and ast.dump(node.func) == RAISED and id(node) not in inner:
            yield node


def passed_to(tree: ast.Module, function: ast.FunctionDef) -> dict[str, list[ast.expr]]:
    """Return what a module passes to a function of its own, by the parameter's name."""
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    given: dict[str, list[ast.expr]] = {}
    for caller in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for node in ast.walk(caller):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function.name:
                known = values_by_name(caller)
                for name, value in [*zip(names, node.args, strict=False), *((k.arg, k.value) for k in node.keywords)]:
                    written = known.get(value.id, [value]) if isinstance(value, ast.Name) else [value]
                    given.setdefault(str(name), []).extend(written)
    return given


@pytest.fixture(scope="module")
def everything() -> list[Message]:
    return catalogue()


@pytest.fixture(scope="module")
def messages(everything: list[Message]) -> list[Message]:
    return [m for m in everything if m.place.rpartition(":")[0] not in FORWARDED or m.texts != (PLACEHOLDER,)]


def test_the_catalogue_is_that_of_the_package(everything: list[Message]) -> None:
    calls = sum(
        len(re.findall(r"\bRedwhaleError\($|\bRedwhaleError\([^)]", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in PACKAGE.rglob("*.py")
    )
    classes = 1  # `class RedwhaleError(Exception)`
    assert len(everything) == calls - classes > 200


def test_every_error_says_where_and_what_mends_it(messages: list[Message]) -> None:
    lacking = [f"{m.place}: no {name}" for m in messages for name in ("where", "fix") if name not in m.arguments]
    lacking += [f"{m.place}: empty {name}" for m in messages for name in ("where", "fix") if "" in m.written(name)]
    assert lacking == []


def test_what_is_one_plain_clause(messages: list[Message]) -> None:
    faults = [f"{m.place}: {text!r}" for m in messages for text in m.texts if not is_plain(text)]
    assert faults == []
    fixes = [f"{m.place}: {text!r}" for m in messages for text in m.written("fix") if not is_plain(text)]
    assert fixes == []


def test_no_empty_word_without_the_value(messages: list[Message]) -> None:
    assert [m.place for m in messages for t in m.texts if EMPTY_WORDS.search(t) and PLACEHOLDER not in t] == []


def test_exit_codes_are_the_named_ones(messages: list[Message]) -> None:
    for message in messages:
        code = message.arguments.get("exit_code")
        names = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)} if code else set()
        passed_on = {"code", "error", "told", "known", "wishes"}
        assert names <= CODES | passed_on and (code is None or names), message.place


def test_faults_of_recipes_are_written_alike() -> None:
    texts = [
        (f"{path.name}:{node.lineno}", text)
        for path in sorted((PACKAGE / "core" / "recipe").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ValueError", "Misfit")
        for text in texts_of(node.args[0], {})
    ]
    assert len(texts) > 25
    assert [(place, text) for place, text in texts if not is_plain(text) or EMPTY_WORDS.search(text)] == []


def is_plain(text: str) -> bool:
    """Tell whether a text begins small, with a value, a sign or a proper name, and ends without a stop."""
    begins = bool(re.match(rf"[a-z0-9`'\"\[(<-]|{PLACEHOLDER}", text)) or text.startswith(NAMES)
    return begins and not re.search(r"[.!]$|\n|  ", text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("the file is empty", True), ("\0 is empty", True), ("KoBEST is empty", True), ("`a` is empty", True),
     ("The file is empty", False), ("the file is empty.", False), ("", False), ("two  spaces", False)],
)  # fmt: skip
def test_plain_texts_by_hand(text: str, plain: bool) -> None:
    assert is_plain(text) is plain
