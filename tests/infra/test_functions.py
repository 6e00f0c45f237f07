"""What the Functions host reads: host.json and one folder per function."""
import json
import re
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path

import jsonschema

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Folders of the host's own, or that would shadow its routes.
RESERVED = {'host', 'admin', 'runtime'}


def problems(host, functions):
    """What is wrong with a host.json and function.json by folder; empty: nothing."""
    found = []
    for schema, documents in (('host', {'host.json': host}), ('function', functions)):
        validator = jsonschema.Draft202012Validator(json.loads((HERE / f'{schema}.schema.json').read_text()))
        for name, document in documents.items():
            found += [f'{name}: {error.json_path}: {error.message}' for error in validator.iter_errors(document)]
    routes = {}
    for name, function in functions.items():
        if not re.fullmatch(r'[a-z][a-z0-9_]{0,126}', name) or name in RESERVED:
            found.append(f'{name}: the host knows no such name for a function')
        trigger = function['bindings'][0]
        if trigger['type'] == 'httpTrigger':
            routes[name] = trigger['route']
    posts = {name for name in functions if name not in routes}
    for name, route in routes.items():
        # The host proxies a path as it came, and posts triggers to /NAME: the first segment tells the two apart.
        first = route.split('/')[0]
        if '{' in first or first.lower() in posts:
            found.append(f'{name}: a caller can reach a trigger by the route `{route}`')
    if host['customHandler'].get('http'):
        found.append('host.json: routes beside function.json: the host does not start')
    if host['extensions']['serviceBus']['maxAutoLockRenewalDuration'] < host['functionTimeout']:
        found.append('host.json: a lock may be lost while its function still runs')
    return found


class Functions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.host = json.loads((ROOT / 'host.json').read_text())
        cls.functions = {file.parent.name: json.loads(file.read_text()) for file in (ROOT / 'functions').glob('*/function.json')}

    def test_they_are_as_the_host_and_the_gateway_need_them(self):
        self.assertEqual(problems(self.host, self.functions), [])
        self.assertEqual(sorted(self.functions),
                         ['approval_decided', 'healthz', 'http', 'mcp', 'openapi', 'sweep', 'well_known'])
        self.assertEqual({file.name for file in (ROOT / 'functions').rglob('*') if file.is_file()}, {'function.json', 'package'})

    def test_each_rule_refuses_what_breaks_it(self):
        def changed(path, value):
            documents = json.loads(json.dumps({'host.json': self.host, **self.functions}))
            *way, last = path
            inner = documents
            for step in way:
                inner = inner[step]
            inner[last] = value
            host = documents.pop('host.json')
            return problems(host, documents)

        decided, http = ('approval_decided', 'bindings', 0), ('http', 'bindings', 0)
        blob = {'type': 'blob', 'direction': 'out', 'name': 'copy'}
        for path, value in [
            (('host.json', 'extensions', 'http', 'routePrefix'), 'api'),
            (('host.json', 'customHandler', 'enableProxyingHttpRequest'), False),
            (('host.json', 'customHandler', 'enableForwardingHttpRequest'), True),
            (('host.json', 'customHandler', 'http'), {'routes': [{'route': '{*route}'}]}),
            (('host.json', 'configurationProfile'), 'web-app-custom-handler'),
            (('host.json', 'functionTimeout'), '00:20:00'),
            (('host.json', 'extensions', 'serviceBus', 'autoCompleteMessages'), False),
            (('host.json', 'logging', 'applicationInsights', 'samplingSettings', 'isEnabled'), True),
            ((*http, 'route'), '{*path}'),
            ((*http, 'route'), 'sweep'),
            ((*http, 'route'), 'sweep/{*path}'),
            ((*http, 'route'), '{door}/{*path}'),
            ((*http, 'authLevel'), 'function'),
            (('http', 'bindings'), [*self.functions['http']['bindings'], blob]),
            (('sweep', 'bindings'), [*self.functions['sweep']['bindings'], blob]),
            ((*decided, 'dataType'), 'string'),
            ((*decided, 'isSessionsEnabled'), False),
            ((*decided, 'cardinality'), 'many'),
            (('sweep', 'bindings', 0, 'schedule'), '* * * * *'),
            (('sweep', 'bindings', 0, 'runOnStartup'), True),
            (('v1',), self.functions['sweep']),
            (('Sweep-2',), self.functions['sweep']),
        ]:
            self.assertNotEqual(changed(path, value), [], f'{path} = {value}')

    def test_every_path_of_the_gateway_is_reachable_and_no_other(self):
        paths = set()
        for file in (ROOT / 'src/api').rglob('*.rs'):
            paths |= set(re.findall(r'(?:path: |\.route\(\s*)"(/[^"]+)"', file.read_text()))
        self.assertGreater(len(paths), 8)
        routes = [trigger['route'] for trigger in (f['bindings'][0] for f in self.functions.values()) if 'route' in trigger]
        for path in paths:
            reached = any(path[1:].startswith(route.removesuffix('{*path}')) if '{' in route else path[1:] == route for route in routes)
            # The host's own probe, and what it posts triggers to.
            self.assertEqual(reached, path[1:] not in self.functions or path == '/healthz', path)

    def test_a_package_is_flat_runnable_and_the_same_every_time(self):
        program = b'\x7fELF\x02' + bytes(13) + b'\x3e\x00' + b'GLIBC_2.2.5 GLIBC_2.28 GLIBC_2.9'
        with tempfile.TemporaryDirectory() as folder:
            handler, policy = Path(folder) / 'portcullis', Path(folder) / 'p.yaml'
            policy.write_text('version: 1')

            def package(content, name):
                handler.write_bytes(content)
                ran = subprocess.run([ROOT / 'functions/package', handler, policy, Path(folder) / name], capture_output=True, text=True)
                return ran.stderr or (Path(folder) / name).read_bytes()

            self.assertEqual(package(program, 'one.zip'), package(program, 'two.zip'))
            self.assertIn('needs glibc 2.34', package(program + b'GLIBC_2.34', 'newer.zip'))
            self.assertIn('no program', package(b'#!/bin/sh', 'script.zip'))
            with zipfile.ZipFile(Path(folder) / 'one.zip') as archive:
                modes = {entry.filename: (entry.create_system, entry.external_attr >> 16) for entry in archive.infolist()}
                self.assertEqual(archive.read('handler'), program)
        functions = {f'{name}/function.json' for name in self.functions}
        self.assertEqual(modes.keys(), {'handler', 'host.json', 'policy.yaml', *functions})
        self.assertEqual({name for name, mode in modes.items() if mode == (3, 0o100755)}, {'handler'})
        self.assertEqual({mode for name, mode in modes.items() if name != 'handler'}, {(3, 0o100644)})

    def test_settings_for_a_local_host_are_there_to_copy_and_the_copy_is_never_committed(self):
        settings = json.loads((ROOT / 'local.settings.example.json').read_text())
        self.assertEqual(settings['IsEncrypted'], False)
        self.assertEqual(settings['Values']['FUNCTIONS_WORKER_RUNTIME'], 'custom')
        ignored = (ROOT / '.gitignore').read_text().split()
        self.assertIn('/local.settings.json', ignored)


if __name__ == '__main__':
    unittest.main()
