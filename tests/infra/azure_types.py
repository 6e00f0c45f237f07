"""The real types of Azure's resources, as Bicep knows them, and whether a value fits one.

They come with npm's `@azure/mcp-linux-x64`, which serves them over MCP on standard input and output and needs no network. It
knows the newest version of each type, so templates use the newest: a check against another version would prove nothing.
"""
import json
import os
import subprocess
from pathlib import Path

from bicep import Unknown

_SERVER = Path(__file__).parent / 'node_modules/@azure/mcp-linux-x64/dist/azmcp'


# Types the server lists but cannot describe, written down here from their documentation: property -> type of its value, or
# what it may be. The test fails when the server learns to describe one, and its entry here can go.
_CRITERIA = {
    'odata.type': ['Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'],
    'allOf': [{
        'name': str, 'criterionType': ['StaticThresholdCriterion'], 'metricNamespace': str, 'metricName': str,
        'dimensions': [{'name': str, 'operator': ['Include', 'Exclude'], 'values': [str]}],
        'operator': ['GreaterThan', 'LessThan', 'Equals'], 'threshold': int,
        'timeAggregation': ['Average', 'Minimum', 'Maximum', 'Total', 'Count'],
    }],
}
_ALERT = {'description': str, 'severity': int, 'enabled': bool, 'scopes': [str], 'evaluationFrequency': str, 'windowSize': str}
UNDESCRIBED = {
    'Microsoft.Authorization/locks': ('2020-05-01', {'properties': {'level': ['CanNotDelete', 'ReadOnly'], 'notes': str}}),
    'Microsoft.Insights/actionGroups': ('2023-01-01', {'location': ['global'], 'properties': {
        'enabled': bool, 'groupShortName': str,
        'emailReceivers': [{'name': str, 'emailAddress': str, 'useCommonAlertSchema': bool}]}}),
    'Microsoft.Insights/diagnosticSettings': ('2021-05-01-preview', {'properties': {
        'workspaceId': str, 'logs': [{'category': str, 'categoryGroup': str, 'enabled': bool}]}}),
    'Microsoft.Insights/metricAlerts': ('2018-03-01', {'location': ['global'], 'properties': {
        **_ALERT, 'criteria': _CRITERIA, 'actions': [{'actionGroupId': str}]}}),
    'Microsoft.Insights/scheduledQueryRules': ('2023-12-01', {'location': str, 'properties': {
        **_ALERT, 'displayName': str, 'autoMitigate': bool, 'actions': {'actionGroups': [str]},
        'criteria': {'allOf': [{
            'query': str, 'timeAggregation': ['Average', 'Minimum', 'Maximum', 'Total', 'Count'],
            'operator': ['GreaterThan', 'LessThan', 'Equals'], 'threshold': int,
            'failingPeriods': {'numberOfEvaluationPeriods': int, 'minFailingPeriodsToAlert': int}}]}}}),
    'Microsoft.Network/privateDnsZones': ('2024-06-01', {'location': ['global']}),
    'Microsoft.Network/privateDnsZones/virtualNetworkLinks': ('2024-06-01', {'location': ['global'], 'properties': {
        'registrationEnabled': bool, 'virtualNetwork': {'id': str}}}),
}


class Types:
    """Answers are kept in `.venv/types.json`, which goes with the installed packages: the server takes seconds to find each."""

    def __init__(self, kept=Path(__file__).parent / '.venv/types.json'):
        self.process, self.calls, self.kept = None, 0, kept
        self.known = json.loads(kept.read_text()) if kept.is_file() else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.kept.write_text(json.dumps(self.known))
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.terminate()
            self.process.wait(10)

    def start(self):
        if not _SERVER.is_file():
            raise FileNotFoundError(f'{_SERVER}: run tests/install')
        self.process = subprocess.Popen(
            [_SERVER, 'server', 'start', '--mode', 'all', '--namespace', 'bicepschema'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, 'AZURE_MCP_COLLECT_TELEMETRY': 'false'})
        self.call('initialize', {'protocolVersion': '2025-06-18', 'capabilities': {},
                                 'clientInfo': {'name': 'tests', 'version': '1'}})
        self.send({'method': 'notifications/initialized'})

    def send(self, message):
        self.process.stdin.write(json.dumps({'jsonrpc': '2.0', **message}) + '\n')
        self.process.stdin.flush()

    def call(self, method, params):
        self.calls += 1
        self.send({'id': self.calls, 'method': method, 'params': params})
        for line in self.process.stdout:
            answer = json.loads(line)
            if answer.get('id') == self.calls:
                return answer['result']
        raise RuntimeError('the type server ended')

    def of(self, resource_type):
        """(version, type of the body, all named types); `None` if there is no such resource."""
        if resource_type not in self.known:
            if self.process is None:
                self.start()
            answer = self.call('tools/call', {'name': 'bicepschema_get', 'arguments': {'resource-type': resource_type}})
            found = json.loads(answer['content'][0]['text']).get('results') or {}
            named = {each['name']: each for each in found.get('BicepSchemaResult', [])}
            own = [each for name, each in named.items() if name.partition('@')[0].lower() == resource_type.lower()]
            self.known[resource_type] = (own[0]['name'].partition('@')[2], own[0]['bodyType'], named) if own else None
        return self.known[resource_type]

    def problems(self, resource):
        """What is wrong with one resource; empty: nothing."""
        found, problems = self.of(resource.type), []
        if found is None and resource.type not in UNDESCRIBED:
            return [f'{resource.where}: there is no resource type {resource.type}']
        if found is not None and resource.type in UNDESCRIBED:
            return [f'{resource.type} is described now: take it out of UNDESCRIBED']
        version, body, named = found or (*UNDESCRIBED[resource.type], None)
        if resource.version != version:
            return [f'{resource.where}: {resource.type} has version {version}, not {resource.version}']
        if named is None:
            _resembles(resource.body, body, '', problems)
            return [f'{resource.where}: {resource.type}: {problem}' for problem in problems]
        _check({**resource.body, 'name': resource.name.split('/')[-1]}, body, named, '', problems)
        for path in resource.read:
            _exists(path, body, named, problems)
        # What the compiler would be told to pass over, and for the same reason: the published type lacks it.
        passed = {'BCP187': 'no property `kind`', 'BCP089': 'no property `properties.parameterValueSet`'}
        hidden = [passed[code] for code in resource.suppressed]
        problems += [f'{h} is suppressed, and not found' for h in hidden if not any(p.startswith(h) for p in problems)]
        return [f'{resource.where}: {resource.type}: {p}' for p in problems if p not in hidden]


def _check(value, type_, named, path, problems):
    if isinstance(type_, str):
        type_ = named.get(type_.rstrip('?')) or type_
    if isinstance(type_, str):
        return _simple(value, type_, named, path, problems)
    if not isinstance(value, dict):
        problems.append(f'`{path}` is {value!r}, not an object')
        return
    properties = {each['name']: each for each in _properties(type_, value)}
    for name, inner in value.items():
        where = f'{path}.{name}'.lstrip('.')
        declared = properties.get(name)
        if declared is None:
            rest = type_.get('additionalPropertiesType') or type_.get('additionalProperties')
            if rest is None:
                problems.append(f'no property `{where}`')
            elif isinstance(rest, str):
                _check(inner, rest, named, where, problems)
        elif 'ReadOnly' in (declared.get('flags') or ''):
            problems.append(f'`{where}` is read-only')
        else:
            _check(inner, declared['type'], named, where, problems)
    for name, declared in properties.items():
        if 'Required' in (declared.get('flags') or '') and name not in value:
            problems.append(f'`{path}.{name}`'.replace('`.', '`') + ' is missing')


def _properties(type_, value):
    yield from type_.get('properties') or type_.get('baseProperties') or []
    # One of several kinds of object, told apart by one property.
    for kind in type_.get('elements') or []:
        own = kind.get('properties', [])
        if {'name': type_['discriminator'], 'type': value.get(type_['discriminator'])} in [
                {'name': each['name'], 'type': each['type']} for each in own]:
            yield from own


def _simple(value, type_, named, path, problems):
    if type_ == 'any':
        return
    if type_.endswith('[]'):
        if not isinstance(value, list):
            problems.append(f'`{path}` is {value!r}, not an array')
            return
        for index, item in enumerate(value):
            _check(item, type_[:-2].strip('()'), named, f'{path}[{index}]', problems)
        return
    kinds = {'string': str, 'int': int, 'bool': bool, 'object': dict}
    options = [option.strip().strip("'") for option in type_.split(' | ')]
    if type_ in kinds:
        if not isinstance(value, kinds[type_]) or (type_ == 'int' and isinstance(value, bool)):
            problems.append(f'`{path}` is {value!r}, not {type_}')
    elif isinstance(value, Unknown):
        return
    # An enumeration that is open to any text still lists what is known today.
    elif str(value).lower() not in [option.lower() for option in options] or value is True or value is False:
        if 'string' not in options or len(options) > 1:
            problems.append(f'`{path}` is {value!r}, none of {options}')


def _resembles(value, shape, path, problems):
    """Whether a value has a shape of `UNDESCRIBED`."""
    if isinstance(shape, dict) and isinstance(value, dict):
        problems += [f'no property `{path}.{name}`' for name in value.keys() - shape.keys()]
        for name in value.keys() & shape.keys():
            _resembles(value[name], shape[name], f'{path}.{name}'.lstrip('.'), problems)
    elif isinstance(shape, list) and isinstance(value, list):
        for item in value:
            _resembles(item, shape[0], f'{path}[]', problems)
    elif isinstance(shape, list) and isinstance(shape[0], str):
        if value not in shape:
            problems.append(f'`{path}` is {value!r}, none of {shape}')
    elif not isinstance(shape, type) or not isinstance(value, shape):
        problems.append(f'`{path}` is {value!r}')


def _exists(path, body, named, problems):
    """Whether a property that the template reads of a deployed resource exists."""
    type_ = body
    for name in ('properties', *path):
        inner = next((p['type'] for p in _properties(type_, {}) if p['name'] == name), None)
        if inner is None:
            problems.append(f'no property `properties.{".".join(path)}` to read')
            return
        type_ = named.get(inner.rstrip('?'), {})
