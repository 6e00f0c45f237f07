"""Runs a Logic App's definition against made-up outcomes of what it calls, so that every way through it can be looked at.

It knows the actions and functions the definition uses and fails at any other.
"""
import base64
import json
import re
import urllib.parse
from dataclasses import dataclass, field

import jsonschema

SUCCEEDED, FAILED, TIMED_OUT, SKIPPED = 'Succeeded', 'Failed', 'TimedOut', 'Skipped'
_OUTSIDE = ('ApiConnection', 'ApiConnectionWebhook', 'Wait')


class Ended(Exception):
    """A Terminate action."""


@dataclass
class Step:
    """One action that ran: what it was given, what it gave."""
    name: str
    type: str
    status: str
    inputs: object
    outputs: object
    definition: dict


@dataclass
class Run:
    """`outside(name, inputs)` says how a call ends: (status, body). `order` sorts actions that could run at the same time."""
    definition: dict
    parameters: dict
    message: dict
    outside: object
    order: object = staticmethod(lambda name: 0)
    steps: list = field(default_factory=list)
    status: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    item: dict = field(default_factory=dict)

    def play(self):
        try:
            self.actions(self.definition['actions'])
        except Ended:
            pass
        return self.steps

    def actions(self, actions):
        """Each action after those it waits for. Returns how they ended together: as the last ones did."""
        waiting = dict(actions)
        while waiting:
            ready = [name for name, action in waiting.items() if not action['runAfter'].keys() & waiting.keys()]
            if not ready:
                raise ValueError(f'{sorted(waiting)} wait for each other')
            name = min(ready, key=self.order)
            action = waiting.pop(name)
            unknown = action['runAfter'].keys() - actions.keys()
            if unknown:
                raise ValueError(f'{name} runs after {unknown}, which is not beside it')
            runs = all(self.status[before] in statuses for before, statuses in action['runAfter'].items())
            if runs:
                self.status[name] = self.action(name, action)
            else:
                self.skip(name, action)
        waited_for = {before for action in actions.values() for before in action['runAfter']}
        last = [self.status[name] for name in actions if name not in waited_for]
        return FAILED if FAILED in last or TIMED_OUT in last else SUCCEEDED

    def skip(self, name, action):
        self.status[name], self.outputs[name] = SKIPPED, None
        for nested in _nested(action):
            for inner, each in nested.items():
                self.skip(inner, each)

    def action(self, name, action):
        inputs, outputs, status = None, None, SUCCEEDED
        try:
            match action['type']:
                case 'Foreach':
                    for self.item[name] in self.value(action['foreach']):
                        if self.actions(action['actions']) == FAILED:
                            status = FAILED
                case 'Switch':
                    wanted = self.value(action['expression'])
                    cases = [case for case in action['cases'].values() if case['case'] == wanted]
                    chosen = cases[0] if cases else action['default']
                    for other in _nested(action):
                        if other is not chosen['actions']:
                            for inner, each in other.items():
                                self.skip(inner, each)
                    status = self.actions(chosen['actions'])
                case 'If':
                    chosen, other = action, action['else']
                    if not self.condition(action['expression']):
                        chosen, other = other, chosen
                    for inner, each in other['actions'].items():
                        self.skip(inner, each)
                    status = self.actions(chosen['actions'])
                case 'Terminate':
                    raise Ended
                case 'ParseJson':
                    inputs = outputs = self.value(action['inputs']['content'])
                    jsonschema.Draft4Validator(action['inputs']['schema']).validate(outputs)
                case 'Compose':
                    inputs = outputs = self.value(action['inputs'])
                case kind if kind in _OUTSIDE:
                    inputs = self.value(action['inputs'])
                    status, outputs = self.outside(name, inputs)
                case kind:
                    raise NotImplementedError(kind)
        # What Azure calls a failed template or a failed validation.
        except (AttributeError, KeyError, TypeError, ValueError, jsonschema.ValidationError):
            status = FAILED
        self.outputs[name] = outputs
        self.steps.append(Step(name, action['type'], status, inputs, outputs, action))
        return status

    def condition(self, expression):
        (operator, operands), = expression.items()
        match operator:
            case 'and':
                return all(self.condition(each) for each in operands)
            case 'or':
                return any(self.condition(each) for each in operands)
            case 'not':
                return not self.condition(operands)
            case 'equals':
                return self.value(operands[0]) == self.value(operands[1])
        raise NotImplementedError(operator)

    def value(self, template):
        """A template with its expressions evaluated: `@expression` is a value, `@{expression}` a piece of text."""
        if isinstance(template, dict):
            return {key: self.value(each) for key, each in template.items()}
        if isinstance(template, list):
            return [self.value(each) for each in template]
        if not isinstance(template, str):
            return template
        if template.startswith('@') and not template.startswith('@{'):
            value, rest = self.expression(template[1:])
            if rest.strip():
                raise NotImplementedError(template)
            return value
        text = ''
        while '@{' in template:
            before, _, rest = template.partition('@{')
            value, rest = self.expression(rest)
            if not rest.startswith('}'):
                raise NotImplementedError(template)
            text += before + ('' if value is None else value if isinstance(value, str) else json.dumps(value))
            template = rest[1:]
        return text + template

    def expression(self, text):
        """The value of the expression that `text` begins with, and what follows it."""
        text = text.lstrip()
        if literal := re.match(r"'((?:[^']|'')*)'", text):
            value, rest = literal[1].replace("''", "'"), text[literal.end():]
        elif number := re.match(r'\d+', text):
            value, rest = int(number[0]), text[number.end():]
        elif call := re.match(r'(\w+)\(', text):
            arguments, rest = [], text[call.end():].lstrip()
            while not rest.startswith(')'):
                argument, rest = self.expression(rest.removeprefix(','))
                arguments.append(argument)
                rest = rest.lstrip()
            value, rest = self.call(call[1], arguments), rest[1:]
        else:
            raise NotImplementedError(text)
        while access := re.match(r'(\??)\[', rest):
            key, rest = self.expression(rest[access.end():])
            rest = rest.removeprefix(']')
            if access[1] and (value is None or key is None):
                value = None
            else:
                value = value.get(key) if access[1] else value[key]
        return value, rest

    def call(self, name, arguments):
        match name, arguments:
            case 'addProperty', (value, key, added):
                if key in value:
                    raise ValueError(key)
                return {**value, key: added}
            case 'base64', (text,):
                return base64.b64encode(text.encode()).decode()
            case 'base64ToString', (text,):
                return base64.b64decode(text, validate=True).decode()
            case ('body' | 'outputs'), (of,):
                return self.outputs[of]
            case 'coalesce', values:
                return next((value for value in values if value is not None), None)
            case 'concat', texts:
                return ''.join(texts)
            case 'encodeURIComponent', (text,):
                return urllib.parse.quote(text, safe='')
            case 'equals', (one, other):
                return one == other
            case 'greater', (one, other):
                return one > other
            case 'if', (condition, yes, no):
                return yes if condition else no
            case 'items', (loop,):
                return self.item[loop]
            case 'json', (text,):
                return json.loads(text)
            case 'length', (value,):
                return len(value)
            case 'listCallbackUrl', ():
                return 'https://callback.invalid'
            case 'parameters', (of,):
                return self.parameters[of]
            case 'replace', (text, old, new):
                return text.replace(old, new)
            case 'string', (value,):
                return value if isinstance(value, str) else json.dumps(value)
            case 'triggerBody', ():
                return self.message
            case 'workflow', ():
                return {'run': {'name': '08584126340202815712477980806CU13'}}
        raise NotImplementedError(f'{name}({len(arguments)})')


def _nested(action):
    """The groups of actions inside one."""
    for part in (action, action.get('else', {}), action.get('default', {}), *action.get('cases', {}).values()):
        if 'actions' in part:
            yield part['actions']
