"""Bicep without its compiler, which no package registry has: reads a template, fills its parameters in, and gives the
resources it would deploy.

It knows the part of the language these templates use and refuses the rest, so that nothing goes unchecked in silence.
What Azure alone knows (ids, generated names, properties of what is deployed) becomes text that names where it comes from.
"""
import ipaddress
import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


class Unknown(str):
    """Text only Azure knows. It has the right type and no particular value."""


class BicepError(Exception):
    def __init__(self, file, node, problem):
        super().__init__(f'{file.name}:{node.start_point.row + 1}: {problem}')


@dataclass
class Resource:
    """One resource as deployed. `properties` of it that are read are remembered in `read`, to be checked against its type."""
    type: str
    version: str
    name: str
    body: dict
    scope: str | None
    where: str
    suppressed: set
    read: set = field(default_factory=set)

    @property
    def id(self):
        return '/'.join([self.type.split('/')[0]] + [
            part for pair in zip(self.type.split('/')[1:], self.name.split('/')) for part in pair])

    def get(self, name):
        match name:
            case 'id':
                return Unknown(self.id)
            case 'name':
                return self.name.split('/')[-1]
            case 'properties':
                return Properties(self)
        raise KeyError(name)


@dataclass
class Properties:
    resource: Resource
    path: tuple = ()

    def get(self, name):
        path = (*self.path, name)
        self.resource.read.add(path)
        if name in ('primaryEndpoints',):
            return Properties(self.resource, path)
        return Unknown(f'<{self.resource.id}:{".".join(path)}>')


@dataclass
class Module:
    outputs: dict

    def get(self, name):
        return {'outputs': self.outputs}[name]


def parse(text, file):
    """The syntax tree, or an error at the first thing that is no Bicep."""
    root = _PARSER.parse(text.encode()).root_node
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type == 'ERROR' or node.is_missing:
            raise BicepError(file, node, f'syntax error at `{node.text.decode()[:40]}`')
        pending += reversed(node.children)
    return root


def parameters(file, environment):
    """The values a .bicepparam file assigns; `environment` stands for the variables it reads."""
    # The grammar knows no parameter files; they differ from variables in two words.
    lines = [re.sub(r'^param ', 'var ', line) for line in file.read_text().splitlines()]
    using = [line for line in lines if line.startswith('using ')]
    text = '\n'.join('' if line in using else line for line in lines) + '\n'
    scope = Template(file, environment=environment)
    return {name: scope.value(node) for name, node in scope.declare(parse(text, file))}


def deploy(file, arguments):
    """(resources, outputs) of the template with these arguments."""
    template = Template(file)
    outputs = template.run(arguments)
    return template.resources, outputs


class Template:
    def __init__(self, file, resources=None, environment=None):
        self.file = file
        self.resources = [] if resources is None else resources
        self.environment = environment
        self.names, self.types = {}, {}

    def fail(self, node, problem):
        raise BicepError(self.file, node, problem)

    def declare(self, root):
        """The statements in an order in which everything is declared before it is used."""
        seen = {}
        for node in root.children:
            if node.type.endswith('_declaration') and node.type != 'type_declaration':
                name = _named(node)
                if name in seen and node.type != 'output_declaration':
                    self.fail(node, f'`{name}` is declared twice')
                seen[name if node.type != 'output_declaration' else f'output {name}'] = node
        ordered, visiting = [], []

        def visit(name, by):
            node = seen[name]
            if any(node == done for _, done in ordered):
                return
            if name in visiting:
                self.fail(by, f'`{name}` needs itself')
            visiting.append(name)
            for other in _identifiers(node):
                if other in seen and other != name:
                    visit(other, node)
            visiting.pop()
            ordered.append((name, node))

        for name, node in seen.items():
            visit(name, node)
        for name, node in ordered:
            if node.type == 'variable_declaration':
                yield name, node.named_children[-1]
                self.names[name] = self.value(node.named_children[-1])
            else:
                yield name, node

    def run(self, arguments):
        root = parse(self.file.read_text(), self.file)
        self.types = {_named(n): n.named_children[-1] for n in root.children if n.type == 'type_declaration'}
        arguments, outputs = dict(arguments), {}
        decorators = {}
        previous = None
        for node in root.children:
            if previous is not None and previous.type == 'decorators':
                decorators[_named(node)] = previous
            previous = node
        for name, node in self.declare(root):
            match node.type:
                case 'parameter_declaration':
                    self.names[name] = self.parameter(name, node, arguments, decorators.get(name))
                case 'resource_declaration':
                    self.names[name] = self.each(node, self.resource)
                case 'module_declaration':
                    self.names[name] = self.each(node, self.module)
                case 'output_declaration':
                    outputs[_named(node)] = self.value(node.named_children[-1])
        for name in arguments:
            self.fail(root, f'`{name}` is given, and there is no such parameter')
        for node in root.children:
            if node.type in ('parameter_declaration', 'variable_declaration'):
                if not any(_named(node) in _identifiers(other) for other in root.children if other != node):
                    self.fail(node, f'`{_named(node)}` is never used')
        return outputs

    # ------------------------------------------------------------------------------------------ declarations

    def parameter(self, name, node, arguments, decorators):
        children = node.named_children
        if name in arguments:
            value = arguments.pop(name)
        elif len(children) == 3:
            value = self.value(children[2])
        else:
            self.fail(node, f'parameter `{name}` has no value')
        self.fits(node, name, children[1], value)
        for decorator in decorators.named_children if decorators else []:
            call = decorator.named_children[0]
            rule, limit = call.named_children[0].text.decode(), [self.value(a) for a in call.named_children[1].named_children]
            ok = {
                'allowed': lambda: value in limit[0],
                'minLength': lambda: len(value) >= limit[0],
                'maxLength': lambda: len(value) <= limit[0],
                'minValue': lambda: value >= limit[0],
                'maxValue': lambda: value <= limit[0],
                'description': lambda: True,
                'secure': lambda: True,
            }[rule]()
            if not ok:
                self.fail(node, f'parameter `{name}`: {value!r} breaks @{rule}({limit[0]})')
        return value

    def fits(self, node, name, kind, value):
        """Whether a value has the declared type."""
        if kind.type == 'type':
            return self.fits(node, name, kind.named_children[0], value)
        text = kind.text.decode()
        expected = {'string': str, 'int': int, 'bool': bool, 'object': dict, 'array': list}
        if kind.type == 'array_type' and isinstance(value, list):
            for each in value:
                self.fits(node, name, kind.named_children[0], each)
        elif kind.type == 'identifier' and text in self.types:
            self.fits(node, name, self.types[text], value)
        elif kind.type == 'object' and isinstance(value, dict):
            wanted = {_key(p): p.named_children[-1] for p in kind.named_children if p.type == 'object_property'}
            if set(wanted) != set(value):
                self.fail(node, f'`{name}` has {sorted(value)}, its type {sorted(wanted)}')
            for key, of in wanted.items():
                self.fits(node, f'{name}.{key}', of, value[key])
        elif kind.type == 'union_type':
            if value not in (options := [self.value(option) for option in kind.named_children]):
                self.fail(node, f'`{name}`: {value!r} is none of {options}')
        elif text not in expected or not isinstance(value, expected[text]) or (text == 'int' and value is True):
            self.fail(node, f'`{name}` is declared {text}, and is {value!r}')

    def each(self, node, make):
        """A resource or module, once, for each, or if."""
        body = node.named_children[-1]
        if body.type == 'if_statement':
            condition, body = body.named_children
            return make(node, body) if self.value(condition) else None
        if body.type != 'for_statement':
            return make(node, body)
        *loop, over, body = body.named_children
        return [self.within(names, lambda: make(node, body)) for names in self.iterations(loop[0], self.value(over))]

    def iterations(self, loop, values):
        names = [part.text.decode() for part in loop.named_children] or [loop.text.decode()]
        for index, value in enumerate(values):
            yield dict(zip(names, (value, index)))

    def within(self, names, do):
        outer, self.names = self.names, {**self.names, **names}
        try:
            return do()
        finally:
            self.names = outer

    def resource(self, node, body, parent=None):
        type_, _, version = self.value(node.named_children[1]).partition('@')
        values = {}
        for property_ in body.named_children:
            if property_.type == 'object_property' and property_.named_children[0].type != 'resource_declaration':
                values[_key(property_)] = self.value(property_.named_children[-1])
        name = values.pop('name', None) or self.fail(node, 'a resource without a name')
        parent = values.pop('parent', parent)
        scope = values.pop('scope', None)
        values.pop('dependsOn', None)
        if parent is not None:
            name = f'{parent.name}/{name}'
            type_, version = (type_ if type_.startswith(parent.type) else f'{parent.type}/{type_}'), version or parent.version
        suppressed = set(re.findall(r'#disable-next-line (BCP\d+)', body.text.decode()))
        made = Resource(type_, version, name, values, scope.id if scope is not None else None,
                        f'{self.file.name}:{node.start_point.row + 1}', suppressed)
        self.resources.append(made)
        made.children = {}
        for property_ in body.named_children:
            if property_.type == 'object_property' and property_.named_children[0].type == 'resource_declaration':
                child = property_.named_children[0]
                made.children[_named(child)] = self.each(child, lambda n, b: self.resource(n, b, made))
        return made

    def module(self, node, body):
        file = self.file.parent / self.value(node.named_children[1])
        given = self.value(body)
        if set(given) - {'name', 'params'}:
            self.fail(node, f'a module with {sorted(given)}')
        try:
            return Module(Template(file, self.resources).run(given['params']))
        except BicepError as error:
            self.fail(node, f'module: {error}')

    # ------------------------------------------------------------------------------------------ expressions

    def value(self, node):
        parts = node.named_children
        match node.type:
            case 'string':
                return self.text(node)
            case 'number':
                return int(node.text)
            case 'boolean':
                return node.text == b'true'
            case 'null':
                return None
            case 'array':
                items = [part for part in parts if part.type != 'comment']
                for one, next_ in zip(items, items[1:]):
                    # `[f(x)]` is read as `[f, (x)]`.
                    if one.end_byte == next_.start_byte:
                        self.fail(node, 'the grammar misreads a call in an array: name its value before')
                return [self.value(item) for item in items]
            case 'object':
                return {self.key(p): self.value(p.named_children[-1]) for p in parts if p.type == 'object_property'}
            case 'for_statement':
                *loop, over, body = parts
                return [self.within(names, lambda: self.value(body)) for names in self.iterations(loop[0], self.value(over))]
            case 'identifier':
                name = node.text.decode()
                if name not in self.names:
                    self.fail(node, f'`{name}` is not declared')
                return self.names[name]
            case 'parenthesized_expression':
                return self.value(parts[0])
            case 'unary_expression':
                return not self.value(parts[0])
            case 'ternary_expression':
                return self.value(parts[1] if self.value(parts[0]) else parts[2])
            case 'binary_expression':
                left, operator = self.value(parts[0]), node.children[1].text.decode()
                match operator:
                    case '&&':
                        return left and self.value(parts[1])
                    case '||':
                        return left or self.value(parts[1])
                    case '==':
                        return left == self.value(parts[1])
                    case '+':
                        return left + self.value(parts[1])
                self.fail(node, f'operator `{operator}`')
            case 'member_expression' | 'subscript_expression' | 'resource_expression':
                return self.member(node, self.value(parts[0]), parts[1])
            case 'lambda_expression':
                names, body = [part.text.decode() for part in parts[:-1]], parts[-1]
                return lambda *values: self.within(dict(zip(names, values)), lambda: self.value(body))
            case 'call_expression':
                function, arguments = parts[0].text.decode(), parts[1].named_children
                known = _FUNCTIONS.get(function)
                if function == 'readEnvironmentVariable' and self.environment is not None:
                    known = self.environment.__getitem__
                elif function in ('loadJsonContent', 'loadTextContent'):
                    known = lambda path: json.loads((self.file.parent / path).read_text())
                if known is None:
                    self.fail(node, f'function `{function}`')
                try:
                    return known(*[self.value(argument) for argument in arguments])
                except BicepError:
                    raise
                except Exception as error:
                    self.fail(node, f'{function}: {error!r}')
        self.fail(node, f'{node.type} `{node.text.decode()[:40]}`')

    def member(self, node, of, which):
        try:
            if node.type == 'resource_expression':
                return of.children[which.text.decode()]
            if node.type == 'subscript_expression':
                return of[self.value(which)]
            name = which.text.decode()
            if isinstance(of, dict):
                return of[name]
            return of.get(name)
        except (KeyError, IndexError, AttributeError, TypeError):
            self.fail(node, f'`{node.text.decode()}` is not there')

    def key(self, property_):
        first = property_.named_children[0]
        return self.text(first) if first.type == 'string' else first.text.decode()

    def text(self, node):
        pieces, unknown, at = [], False, node.start_byte + 1
        for part in node.named_children:
            # Blanks at either end are part of the text and of no node.
            pieces.append(node.text[at - node.start_byte:part.start_byte - node.start_byte].decode())
            at = part.end_byte
            if part.type == 'interpolation':
                value = self.value(part.named_children[0])
                if not isinstance(value, (str, int)):
                    self.fail(part, f'{value!r} in a text')
                unknown |= isinstance(value, Unknown)
                pieces.append(str(value))
            elif part.type == 'escape_sequence':
                pieces.append({'\\n': '\n', '\\t': '\t'}.get(part.text.decode(), part.text.decode()[1:]))
            else:
                pieces.append(part.text.decode())
        pieces.append(node.text[at - node.start_byte:-1].decode())
        return (Unknown if unknown else str)(''.join(pieces))


def _named(node):
    return next(c for c in node.named_children if c.type == 'identifier').text.decode() if node.named_children else ''


def _key(property_):
    return property_.named_children[0].text.decode().strip("'")


def _identifiers(node):
    """Names an expression may refer to."""
    if node.type == 'identifier':
        yield node.text.decode()
    for child in node.named_children:
        if not (node.type == 'object_property' and child == node.named_children[0] and child.type == 'identifier'):
            yield from _identifiers(child)


def _union(first, *rest):
    if isinstance(first, dict):
        return {k: v for each in (first, *rest) for k, v in each.items()}
    return list(dict.fromkeys(item for each in (first, *rest) for item in each))


def _subnet(prefix, length, index):
    return str(list(ipaddress.ip_network(prefix).subnets(new_prefix=length))[index])


_ROLES = 'Microsoft.Authorization/roleDefinitions'
_FUNCTIONS = {
    'cidrSubnet': _subnet,
    'concat': lambda *lists: [item for each in lists for item in each],
    'empty': lambda value: not value,
    'environment': lambda: {'suffixes': {
        'keyvaultDns': '.vault.azure.net', 'sqlServerHostname': '.database.windows.net', 'storage': 'core.windows.net'}},
    'guid': lambda *parts: str(uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(parts))),
    'indexOf': lambda items, item: items.index(item),
    'items': lambda value: [{'key': key, 'value': value[key]} for key in sorted(value)],
    'length': len,
    'map': lambda items, change: [change(item) for item in items],
    'range': lambda start, count: list(range(start, start + count)),
    'replace': lambda text, old, new: type(text)(text.replace(old, new)),
    'resourceGroup': lambda: {'id': Unknown('/subscriptions/S/resourceGroups/G'), 'location': 'westeurope'},
    'split': lambda text, at: text.split(at),
    'subscription': lambda: {'id': Unknown('/subscriptions/S')},
    'subscriptionResourceId': lambda kind, name: Unknown(f'/subscriptions/S/providers/{kind}/{name}'),
    'tenant': lambda: {'tenantId': Unknown('<tenant>')},
    'toObject': lambda items, key, value: {key(item): value(item) for item in items},
    'trim': str.strip,
    'union': _union,
    'uniqueString': lambda *parts: uuid.uuid5(uuid.NAMESPACE_OID, '/'.join(parts)).hex[:13],
}
