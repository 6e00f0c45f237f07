#!/usr/bin/env python3
"""Writes az.txt, the command table of the Azure CLI, from the CLI itself:

    python3 -m venv v && v/bin/pip install azure-cli==2.91.0 && v/bin/python az.py > az.txt

Every command is loaded, and the code it runs is followed, function by function, to the HTTP methods it can reach. A
command is a read if its verb is a reader's and nothing but GET or HEAD is reached; az_reviewed.txt says what was decided
by reading. A reader that reaches more and is not reviewed is unknown: a new version of the CLI brings no new reads
unseen.

One command a line: `class command: option option`. Options are there for reads and secrets, without their dashes (a
single letter is a short option), aliases joined by commas, `!` after those that take no value.
"""

import ast
import collections
import fnmatch
import importlib
import inspect
import logging
import os
import re
import sys
import textwrap

from azure.cli.core import __version__, get_default_cli
from azure.cli.core.aaz import AAZCommand, AAZWaitCommand
from azure.cli.core.file_util import create_invoker_and_load_cmds_and_args
from azure.cli.core.profiles import ResourceType

HERE = os.path.dirname(os.path.abspath(__file__))
SDK = os.path.dirname(importlib.import_module("azure.core").__path__[0])
METHODS = {"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"}
READERS = re.compile(
    r"^(show|list|get|exists|wait|check|validate|what-if|query|search|summarize|test|version|status|peek|preview"
    r"|evaluate|verify)(-.*)?$|-(exists|show|list)$"
)
REMOVERS = re.compile(
    r"^(delete|remove|purge|stop|deallocate|clear|flush|terminate|kill|uninstall|unregister|revoke|drop|unassign)([-_].*)?$"
)
# Methods of Python's own containers that share a name with an operation count only where a client is called.
CONTAINER_METHODS = set(
    "add append cancel clear close copy count create delete disable enable execute export extend filter format get head "
    "import index insert items join keys list load lock match move next open patch pop post prepare publish put query read "
    "refresh register reject release remove replace reset resolve restart restore result resume reverse rotate run search "
    "send set sign sort split start status stop submit suspend swap sync terminate transform unregister update upgrade "
    "validate values verify wait write approve build check decrypt download encrypt kill preview regenerate upload apply "
    "done".split()
)
# Calls that change the machine the CLI runs on.
LOCAL = set(
    "os.makedirs os.mkdir os.remove os.unlink os.rename os.chmod os.symlink os.system shutil.rmtree shutil.copy "
    "shutil.copyfile shutil.move subprocess.run subprocess.call subprocess.check_call subprocess.check_output "
    "subprocess.Popen".split()
)
CLIENT = re.compile(r"client|operations|cf_|factory|mgmt|graph|service|\bops?\b", re.I)


def operations_of_the_sdk():
    """{package: {operation: HTTP methods}} of every installed client library."""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for root, _, files in os.walk(SDK):
        if "/aio" in root or "/cli" in root:
            continue
        for file in files:
            path = os.path.join(root, file)
            if not file.endswith(".py") or not ("operations" in path or "_client" in path):
                continue
            source = open(path, encoding="utf-8").read()
            if "HttpRequest(" not in source and "self._client." not in source:
                continue
            parts = os.path.relpath(path, os.path.dirname(SDK)).split("/")
            nested = parts[1] in ("mgmt", "storage", "keyvault", "synapse")
            package = ".".join(parts[: 3 if nested else 2])
            for name, methods in operations_of_a_file(source):
                found[package][name] |= methods
    return found


def operations_of_a_file(source):
    tree = ast.parse(source)
    builders = {}
    for function in (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("build_")):
        for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
            if getattr(call.func, "id", "") == "HttpRequest":
                builders.update(
                    {function.name: k.value.value for k in call.keywords if k.arg == "method" and isinstance(k.value, ast.Constant)}
                )
    for klass in (n for n in tree.body if isinstance(n, ast.ClassDef)):
        functions = {n.name: n for n in klass.body if isinstance(n, ast.FunctionDef)}
        direct = {name: direct_methods(function, builders, source) for name, function in functions.items()}
        for name, function in functions.items():
            methods = set(direct[name])
            for call in (n for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)):
                if ast.unparse(call.func.value) == "self":
                    methods |= direct.get(call.func.attr, set())
            if methods and not name.startswith("_"):
                yield name, methods


def direct_methods(function, builders, source):
    methods = set()
    for call in (n for n in ast.walk(function) if isinstance(n, ast.Call)):
        if getattr(call.func, "id", None) in builders:
            methods.add(builders[call.func.id])
        elif isinstance(call.func, ast.Attribute) and "HttpRequest" not in source:
            if ast.unparse(call.func.value) == "self._client" and call.func.attr.upper() in METHODS:
                methods.add(call.func.attr.upper())
    return methods


OPERATIONS = operations_of_the_sdk()
EVERYWHERE = collections.defaultdict(set)
for _package in OPERATIONS.values():
    for _name, _methods in _package.items():
        EVERYWHERE[_name] |= _methods


def is_the_clis_own(module):
    return bool(module) and module.startswith("azure.cli.command_modules")


PACKAGES = {}


def packages_of(function):
    """The client libraries that the command module of this function names."""
    found = re.match(r"azure\.cli\.command_modules\.(\w+)", getattr(function, "__module__", "") or "")
    if not found:
        return set()
    if found[1] not in PACKAGES:
        packages = PACKAGES[found[1]] = set()
        folder = importlib.import_module("azure.cli.command_modules." + found[1]).__path__[0]
        for root, _, files in os.walk(folder):
            if "/aaz" in root or "/tests" in root:
                continue
            for file in (f for f in files if f.endswith(".py")):
                source = open(os.path.join(root, file), encoding="utf-8").read()
                packages.update("azure.mgmt." + name for name in re.findall(r"azure\.mgmt\.(\w+)", source))
                packages.update("azure.%s.%s" % pair for pair in re.findall(r"azure\.(storage|keyvault|synapse)\.(\w+)", source))
                packages.update("azure." + name for name in re.findall(r"azure\.(batch|appconfiguration|cosmos|data|ai)\b", source))
                for name in re.findall(r"ResourceType\.(\w+)", source):
                    prefix = getattr(getattr(ResourceType, name, None), "import_prefix", None)
                    if prefix:
                        packages.add(".".join(prefix.split(".")[:3]))
    return PACKAGES[found[1]]


def methods_of(operation, function):
    here = set()
    for package in packages_of(function):
        here |= OPERATIONS.get(package, {}).get(operation, set())
    here = here or EVERYWHERE.get(operation, set())
    # `get` and `list` are a POST in some other client of the same module; where they can be a GET they are one.
    return {"GET"} if operation in ("get", "list", "next") and "GET" in here else here


class Reach:
    """The HTTP methods a piece of code can reach."""

    def __init__(self):
        self.methods = set()
        self.seen = set()

    def command(self, klass):
        for base in klass.__mro__:
            if not is_the_clis_own(base.__module__) or base in self.seen:
                continue
            self.seen.add(base)
            for member in vars(base).values():
                if inspect.isclass(member) and hasattr(member, "method") and hasattr(member, "url"):
                    self.methods.add(member.method.fget(object.__new__(member)))
                elif inspect.isfunction(member) and member.__name__ != "_build_arguments_schema":
                    self.function(member, klass)

    def klass(self, klass, depth):
        if issubclass(klass, AAZCommand):
            self.command(klass)
        elif klass not in self.seen:
            self.seen.add(klass)
            for base in (b for b in klass.__mro__ if is_the_clis_own(b.__module__)):
                for member in vars(base).values():
                    if inspect.isfunction(member):
                        self.function(member, klass, depth + 1)

    def function(self, function, klass=None, depth=0):
        function = inspect.unwrap(function)
        if function in self.seen or depth > 14:
            return
        self.seen.add(function)
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError, SyntaxError):
            return
        names = names_in_scope(function, tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                self.call(node, function, klass, names, depth)
            elif isinstance(node, ast.Attribute) and CLIENT.search(ast.unparse(node.value)) and node.attr in EVERYWHERE:
                self.methods |= methods_of(node.attr, function)
            elif isinstance(node, ast.Name):
                self.follow(names.get(node.id), depth)

    def follow(self, value, depth):
        if is_the_clis_own(getattr(value, "__module__", None)):
            if inspect.isfunction(value):
                self.function(value, depth=depth + 1)
            elif inspect.isclass(value):
                self.klass(value, depth)

    def call(self, call, function, klass, names, depth):
        called = ast.unparse(call.func)
        if called in LOCAL or called in ("open", "io.open") and writes_the_file(call):
            self.methods.add("LOCAL")
        if called.endswith("send_raw_request"):
            texts = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
            self.methods |= {str(t).upper() for t in texts} & METHODS or {"?"}
        if isinstance(call.func, ast.Attribute):
            receiver, name = ast.unparse(call.func.value), call.func.attr
            if receiver in ("self", "super()") and klass is not None:
                own = getattr(klass, name, None)
                if inspect.isfunction(own) and is_the_clis_own(own.__module__):
                    self.function(own, klass, depth + 1)
            if re.match(r"(requests|session|http)\b", receiver) and name.upper() in METHODS | {"REQUEST"}:
                self.methods.add(name.upper() if name != "request" else "?")
            elif name in EVERYWHERE and (name not in CONTAINER_METHODS or CLIENT.search(receiver)):
                self.methods |= methods_of(name, function)
        self.follow(resolve(call.func, names), depth)


def writes_the_file(call):
    modes = call.args[1:2] + [k.value for k in call.keywords if k.arg == "mode"]
    return any(not isinstance(mode, ast.Constant) or re.search("[wax+]", str(mode.value)) for mode in modes)


def names_in_scope(function, tree):
    names = dict(getattr(function, "__globals__", {}))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            names[name] = cell.cell_contents
        except ValueError:
            pass
    package = names.get("__package__") or names.get("__name__", "").rpartition(".")[0]
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)):
        try:
            module = importlib.import_module("." * node.level + (node.module or ""), package=package)
        except ImportError:
            continue
        for alias in node.names:
            if hasattr(module, alias.name):
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names


def resolve(node, names):
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = resolve(node.value, names)
        if inspect.ismodule(base) or inspect.isclass(base):
            return getattr(base, node.attr, None)
    return None


def load(path):
    module, _, attributes = path.partition("#")
    value = importlib.import_module(module)
    for attribute in attributes.split("."):
        value = getattr(value, attribute)
    return value


def methods_reached(command):
    """The HTTP methods the command can reach; `?` where it makes a request of its own, LOCAL for what it does here."""
    reach = Reach()
    if isinstance(command, AAZCommand):
        reach.command(type(command))
        return reach.methods
    operation = command.command_kwargs.get("command_operation")
    if operation is not None:
        kinds = ("op_path", "getter_op_path", "setter_op_path", "custom_function_op_path")
        paths = [path for path in (getattr(operation, kind, None) for kind in kinds) if path]
    else:
        template = command.command_kwargs.get("operations_tmpl", "")
        cells = [cell.cell_contents for cell in getattr(command.handler, "__closure__", None) or ()]
        paths = [template.format(text) for text in cells if isinstance(text, str) and re.match(r"^\w+$", text) and template]
    for path in paths:
        if path.startswith("azure.cli"):
            try:
                reach.function(load(path))
            except AttributeError:
                continue
        else:
            package = ".".join(path.split(".")[:3])
            name = path.split(".")[-1]
            reach.methods |= OPERATIONS.get(package, {}).get(name) or EVERYWHERE.get(name, set())
            if name in ("get", "list") and "GET" in reach.methods:
                reach.methods -= {"POST"}
    return reach.methods


def reviewed():
    with open(os.path.join(HERE, "az_reviewed.txt"), encoding="utf-8") as lines:
        return [line.split(None, 1) for line in lines.read().splitlines() if line and not line.startswith("#")]


def waits(command):
    operation = command.command_kwargs.get("command_operation") if not isinstance(command, AAZCommand) else None
    return isinstance(command, AAZWaitCommand) or type(operation).__name__ == "WaitCommandOperation"


def class_of(name, command, rules):
    for effect, pattern in reversed(rules):
        if fnmatch.fnmatchcase(name, pattern):
            return effect
    verb = name.split()[-1]
    if waits(command):
        return "read"
    if READERS.search(verb):
        return "read" if methods_reached(command) <= {"GET", "HEAD"} else "unknown"
    return "destructive" if REMOVERS.match(verb) else "write"


def options_of(command):
    options = []
    for argument in command.arguments.values():
        settings = argument.type.settings
        action = str(settings.get("action") or "")
        names = [str(getattr(name, "target", name)) for name in settings.get("options_list") or []]
        if "IgnoreAction" in action or not all(name.startswith("-") for name in names):
            continue
        flag = "!" if "store_" in action else ""
        options.append(",".join(name.lstrip("-") for name in names) + flag)
    return " ".join(sorted(options))


def main():
    logging.disable(logging.CRITICAL)
    cli = get_default_cli()
    create_invoker_and_load_cmds_and_args(cli)
    rules = reviewed()
    print(f"# The commands of azure-cli {__version__}, made by az.py from the CLI itself and az_reviewed.txt.")
    for name, command in sorted(cli.invocation.commands_loader.command_table.items()):
        effect = class_of(name, command, rules)
        options = options_of(command) if effect in ("read", "secret") or name in KNOWN_BY_OPTIONS else ""
        print(f"{effect} {name}: {options}".rstrip())


# Not reads, but what they do is said by their options.
KNOWN_BY_OPTIONS = ("rest", "acr login")

if __name__ == "__main__":
    sys.exit(main())
