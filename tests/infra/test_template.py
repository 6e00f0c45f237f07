"""The Bicep template: that it is one, that Azure's types fit it, and what it lets whom do."""
import contextlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import bicep
from azure_types import Types

ROOT = Path(__file__).parents[2]
INFRA = ROOT / 'infra'
# The variables of main.bicepparam.
ENVIRONMENT = {
    'PORTCULLIS_CALLERS': '203.0.113.0/24 198.51.100.0/24', 'PORTCULLIS_DEPLOYERS': '203.0.113.7/32',
    'PORTCULLIS_CONNECTORS': '192.0.2.0/28 192.0.2.16/28', 'PORTCULLIS_ALERTS': 'oncall@example.com',
    'PORTCULLIS_TEAM': '00000000-0000-0000-0000-000000000001', 'PORTCULLIS_CHANNEL': '19:x@thread.tacv2',
    'CRM_READ_URL': 'postgres://read', 'CRM_WRITE_URL': 'postgres://write',
    'PORTCULLIS_CRM_SERVER': '/subscriptions/S/resourceGroups/D/providers/Microsoft.DBforPostgreSQL/flexibleServers/crm',
}
# Parameters that take the other branch of a condition.
VARIANTS = [
    {},
    {'busTier': 'Standard', 'zoneRedundant': False, 'alwaysReady': 0},
    {'eraserPrincipalId': 'people', 'secretNames': [], 'databases': [
        {'name': 'a', 'kind': 'mysql', 'id': 'x'}, {'name': 'b', 'kind': 'mssql', 'id': 'y'}, {'name': 'c', 'kind': 'mssql', 'id': 'z'}]},
]
# Findings of checkov that stand: (check, resource type) -> why.
SUPPRESSED = {
    ('CKV_AZURE_206', 'Microsoft.Storage/storageAccounts'): 'ZRS is replication, over the zones; data stays in its region',
    ('CKV_AZURE_36', 'Microsoft.Storage/storageAccounts'): 'no other Microsoft service needs the accounts, so none is let in',
    ('CKV_AZURE_40', 'Microsoft.KeyVault/vaults/keys'): 'an expired sealing key would make the record unreadable; keys change by a decision',
    ('CKV_AZURE_41', 'Microsoft.KeyVault/vaults/secrets'): 'a database password does not end with a date in a vault, it is changed at the database',
    ('CKV_AZURE_222', 'Microsoft.Web/sites'): 'agents call from outside; who may is `callers`, and every call needs a token',
    ('CKV_AZURE_17', 'Microsoft.Web/sites'): 'callers prove themselves with tokens of the identity provider, not with certificates',
    ('CKV_AZURE_212', 'Microsoft.Web/sites'): 'Flex Consumption scales by itself; `alwaysReady` is what is kept warm',
    ('CKV_AZURE_213', 'Microsoft.Web/sites'): 'Flex Consumption has no health check; the host watches the handler',
}
ROLES = {
    'ba92f5b4-2d11-453d-a403-e96b0029c9fe': 'Storage Blob Data Contributor',
    'e147488a-f6f5-4113-8e2d-b22465e65bf6': 'Key Vault Crypto Service Encryption User',
    '4633458b-17de-408a-b874-0445c86b69e6': 'Key Vault Secrets User',
    '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39': 'Azure Service Bus Data Sender',
    '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0': 'Azure Service Bus Data Receiver',
    '3913510d-42f4-4e42-8a64-420c390055eb': 'Monitoring Metrics Publisher',
}
ITEMS = 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items'
# Suffixes of names that differ from one deployment to the next.
TOKEN = r'[0-9a-f]{13}'


def deploy(infra=INFRA, **changes):
    given = bicep.parameters(infra / 'main.bicepparam', ENVIRONMENT)
    return bicep.deploy(infra / 'main.bicep', {**given, **changes})


def arm(resources):
    return {
        '$schema': 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#', 'contentVersion': '1.0.0.0',
        'resources': [{'type': r.type, 'apiVersion': r.version, 'name': r.name, **r.body} for r in resources]}


def checkov(resources):
    """(failed checks as (check, resource type, resource, name), how many passed)."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'main.json').write_text(json.dumps(arm(resources)))
        ran = subprocess.run(
            [Path(sys.executable).parent / 'checkov', '-f', 'main.json', '--framework', 'arm', '--compact', '--quiet',
             '--skip-download', '-o', 'json'], cwd=folder, capture_output=True, text=True)
    # Its exit code is 0 for a file it could not read.
    report = json.loads(ran.stdout)
    summary = report.get('summary', report)
    if summary['parsing_errors'] or summary['resource_count'] != len({(r.type, r.name) for r in resources}):
        raise AssertionError(f'checkov did not read the template: {summary}')
    failed = [(check['check_id'], check['resource'].rpartition('.')[0], check['resource'], check['check_name'])
              for check in report['results']['failed_checks']]
    return failed, summary['passed']


def rights(resources):
    """Who may do what where, as rows of (identity, role, scope)."""
    identities = {r.get('properties').get('principalId'): r.name for r in resources if r.type.endswith('/userAssignedIdentities')}
    named = {r.id: r.body['properties'].get('roleName') for r in resources if r.type.endswith('oleDefinitions')}
    rows = []
    for r in resources:
        if r.type not in ('Microsoft.Authorization/roleAssignments', 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments'):
            continue
        body = r.body['properties']
        role = named.get(body['roleDefinitionId']) or ROLES[body['roleDefinitionId'].split('/')[-1]]
        scope = r.scope or body['scope']
        rows.append((identities.get(body['principalId'], body['principalId']), re.sub(f' {TOKEN}$', '', role),
                     re.sub(TOKEN, '…', scope.removeprefix('Microsoft.'))))
    return sorted(rows)


class Template(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.types = cls.enterClassContext(Types())
        cls.variants = [deploy(**changes)[0] for changes in VARIANTS]
        cls.resources, cls.outputs = deploy()

    def find(self, type_, name=''):
        found = [r for r in self.resources if r.type == type_ and r.name.endswith(name)]
        self.assertEqual(len(found), 1, f'{type_} {name}')
        return found[0].body['properties']

    def of(self, type_):
        return [r for r in self.resources if r.type == type_]

    def test_every_resource_fits_its_type_in_every_variant(self):
        for changes, resources in zip(VARIANTS, self.variants):
            problems = [problem for resource in resources for problem in self.types.problems(resource)]
            self.assertEqual(problems, [], changes)
            self.assertEqual(len({r.id for r in resources if r.scope is None}), len([r for r in resources if r.scope is None]))

    def test_checkov_finds_nothing_that_has_no_reason_to_stand(self):
        failed, passed = checkov(self.resources)
        self.assertEqual([found for found in failed if found[:2] not in SUPPRESSED], [])
        self.assertGreater(passed, 40)
        self.assertEqual(set(SUPPRESSED) - {found[:2] for found in failed}, set(), 'suppressed, and not found any more')

    def test_each_identity_may_do_what_the_readme_says_and_no_more(self):
        table = '\n'.join(f'| {who} | {role} | `{scope}` |' for who, role, scope in rights(self.resources))
        readme = (INFRA / 'README.md').read_text()
        self.assertIn(table, readme, f'the table of infra/README.md should be:\n{table}')

    def test_nothing_knows_a_key(self):
        off = {'Microsoft.ServiceBus/namespaces': 'disableLocalAuth', 'Microsoft.DocumentDB/databaseAccounts': 'disableLocalAuth',
               'Microsoft.Insights/components': 'DisableLocalAuth', 'Microsoft.KeyVault/vaults': 'enableRbacAuthorization'}
        for type_, setting in off.items():
            self.assertIs(self.find(type_)[setting], True, type_)
        for account in self.of('Microsoft.Storage/storageAccounts'):
            self.assertIs(account.body['properties']['allowSharedKeyAccess'], False)
        for policy in self.of('Microsoft.Web/sites/basicPublishingCredentialsPolicies'):
            self.assertIs(policy.body['properties']['allow'], False)
        settings = {s['name']: s['value'] for s in self.find('Microsoft.Web/sites')['siteConfig']['appSettings']}
        for name, value in settings.items():
            self.assertNotRegex(value, r'AccountKey=|SharedAccessKey|postgres://', name)
        self.assertEqual(settings['CRM_READ_URL'].split('(')[0], '@Microsoft.KeyVault')
        # On Flex Consumption the runtime comes from elsewhere, and these break it.
        self.assertEqual(settings.keys() & {'FUNCTIONS_WORKER_RUNTIME', 'FUNCTIONS_EXTENSION_VERSION', 'WEBSITE_RUN_FROM_PACKAGE'}, set())

    def test_only_what_must_be_is_reachable_from_outside(self):
        for type_ in ('Microsoft.Storage/storageAccounts', 'Microsoft.KeyVault/vaults', 'Microsoft.DocumentDB/databaseAccounts'):
            for resource in self.of(type_):
                self.assertEqual(resource.body['properties']['publicNetworkAccess'], 'Disabled', type_)
        walls = self.find('Microsoft.ServiceBus/namespaces/networkRuleSets')
        self.assertEqual((walls['defaultAction'], len(walls['ipRules'])), ('Deny', 2))
        site = self.find('Microsoft.Web/sites')['siteConfig']
        for door, count in (('ipSecurityRestrictions', 2), ('scmIpSecurityRestrictions', 1)):
            self.assertEqual((site[f'{door}DefaultAction'], len(site[door])), ('Deny', count))
        endpoints = {r.body['properties']['privateLinkServiceConnections'][0]['properties']['groupIds'][0]
                     for r in self.of('Microsoft.Network/privateEndpoints')}
        self.assertEqual(endpoints, {'blob', 'vault', 'Sql', 'namespace', 'postgresqlServer'})
        for group in self.of('Microsoft.Network/networkSecurityGroups'):
            last = max(group.body['properties']['securityRules'], key=lambda rule: rule['properties']['priority'])['properties']
            self.assertEqual((last['access'], last['protocol'], last['destinationAddressPrefix']), ('Deny', '*', '*'))

    def test_the_record_can_only_grow(self):
        writers = {r.id: r.body['properties'] for r in self.of('Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions')}
        actions = {role['roleName']: set(role['permissions'][0]['dataActions']) for role in writers.values()}
        self.assertEqual({name for name, may in actions.items() if f'{ITEMS}/create' in may}, {'Appender', 'Projector'})
        self.assertEqual({name for name, may in actions.items() if f'{ITEMS}/delete' in may}, {'Session key eraser'})
        for name, may in actions.items():
            changes = {action for action in may if '*' in action or action.endswith(('/replace', '/upsert'))}
            self.assertEqual(changes, {f'{ITEMS}/replace', f'{ITEMS}/upsert'} if name == 'Projector' else set(), name)
        projector = next(role for role in writers.values() if role['roleName'] == 'Projector')
        self.assertTrue(all(scope.endswith('/colls/requests') for scope in projector['assignableScopes']))
        eraser = next(role for role in writers.values() if role['roleName'] == 'Session key eraser')
        self.assertTrue(all(scope.endswith('/colls/keys') for scope in eraser['assignableScopes']))
        self.assertEqual([row for row in rights(self.resources) if row[1] == 'Session key eraser'], [])
        events = self.find('Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers', '/events')['resource']
        self.assertNotIn('defaultTtl', events)
        self.assertNotIn('analyticalStorageTtl', events)
        account = self.find('Microsoft.DocumentDB/databaseAccounts')
        self.assertEqual((account['backupPolicy']['type'], account['enableMultipleWriteLocations'], account['disableKeyBasedMetadataWriteAccess']),
                         ('Continuous', False, True))
        locked = {r.scope.split('/')[1] for r in self.of('Microsoft.Authorization/locks')}
        self.assertEqual(locked, {'databaseAccounts', 'storageAccounts'})
        worm = self.find('Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies')
        self.assertGreaterEqual(worm['immutabilityPeriodSinceCreationInDays'], 365)

    def test_questions_and_answers_find_their_queues(self):
        queues = {r.name.split('/')[-1]: r.body['properties'] for r in self.of('Microsoft.ServiceBus/namespaces/queues')}
        for name, queue in queues.items():
            self.assertIs(queue['requiresDuplicateDetection'], True, name)
        trigger = json.loads((ROOT / 'functions/approval_decided/function.json').read_text())['bindings'][0]
        self.assertIs(queues[trigger['queueName']]['requiresSession'], trigger['isSessionsEnabled'])
        settings = {s['name'] for s in self.find('Microsoft.Web/sites')['siteConfig']['appSettings']}
        self.assertLessEqual({f'{trigger["connection"]}__{part}' for part in ('fullyQualifiedNamespace', 'credential', 'clientId')}, settings)
        workflow = self.find('Microsoft.Logic/workflows')
        text = json.dumps(workflow['definition'])
        self.assertEqual(set(re.findall(r"encodeURIComponent\(encodeURIComponent\('([^']+)'", text)), {'approval-requests', 'approval-decisions'})
        self.assertLessEqual({'approval-requests', 'approval-decisions'}, queues.keys())
        self.assertEqual(workflow['parameters'].keys(), workflow['definition']['parameters'].keys())
        self.assertEqual(workflow['parameters']['$connections']['value'].keys(), set(re.findall(r"\['(\w+)'\]\['connectionId'\]", text)))
        self.assertEqual(workflow['accessControl']['contents']['allowedCallerIpAddresses'], [{'addressRange': '0.0.0.0-0.0.0.0'}])

    def test_someone_hears_of_what_only_a_person_can_mend(self):
        alerts = {r.name: r.body['properties'] for r in self.resources if r.type in ('Microsoft.Insights/metricAlerts', 'Microsoft.Insights/scheduledQueryRules')}
        watched = {criterion.get('metricName') or criterion['query'] for alert in alerts.values() for criterion in alert['criteria']['allOf']}
        self.assertEqual(watched, {'DeadletteredMessages', 'IncomingMessages', 'ActionsFailed',
                                   'traces | where message contains "execution.outcome_unknown"'})
        for name, alert in alerts.items():
            self.assertTrue(alert['enabled'] and alert['actions'], name)
        self.assertIn('"execution.outcome_unknown"', (ROOT / 'src/domain/session/event.rs').read_text())

    def test_traces_and_metrics_go_to_a_collector_where_there_is_one(self):
        def said(resources):
            app = next(r for r in resources if r.type == 'Microsoft.Web/sites')
            settings = {setting['name']: setting['value'] for setting in app.body['properties']['siteConfig']['appSettings']}
            return {name: value for name, value in settings.items() if name.startswith('OTEL_')}

        self.assertEqual(said(self.resources), {})
        address = 'https://collector.internal:4318'
        self.assertEqual(said(deploy(collector=address)[0]), {'OTEL_EXPORTER_OTLP_ENDPOINT': address, 'OTEL_SERVICE_NAME': 'portcullis'})

    def test_callers_find_it_under_the_name_it_is_given(self):
        def said(resources):
            app = next(r for r in resources if r.type == 'Microsoft.Web/sites')
            settings = {setting['name']: setting['value'] for setting in app.body['properties']['siteConfig']['appSettings']}
            return {name: value for name, value in settings.items() if name in ('PORTCULLIS_PUBLIC_URL', 'PORTCULLIS_SCOPES')}

        self.assertEqual(said(self.resources), {})
        name = {'publicUrl': 'https://gate.example.com', 'scopes': 'https://gate.example.com/mcp/call'}
        self.assertEqual(said(deploy(**name)[0]), dict(zip(('PORTCULLIS_PUBLIC_URL', 'PORTCULLIS_SCOPES'), name.values())))

    def test_what_breaks_the_template_is_refused(self):
        """The checks of the language and of the types, each seen to fail."""
        for file, old, new, expected in [
            ('main.bicep', "name: 'network'\n", "name: 'network'\n  }}\n", 'syntax error'),
            ('main.bicep', 'addressPrefix: addressPrefix', 'addressPrefix: adressPrefix', 'not declared'),
            ('main.bicep', 'allowedEgress: allowedEgress', 'allowedEgres: allowedEgress', 'has no value'),
            ('main.bicep', 'allowedEgress: allowedEgress', 'allowedEgress: prefix', 'is declared string[]'),
            ('main.bicep', 'zones[3].outputs.id', 'zones[3].outputs.name', 'is not there'),
            ('main.bicep', 'zones[3].outputs.id', 'zones[9].outputs.id', 'is not there'),
            ('main.bicep', "param logDays int = 90", "param logDays int = 9", '@minValue'),
            ('main.bicep', "param prefix string = 'portcullis'", "param prefix string = 'p'", '@minLength'),
            ('main.bicepparam', 'param callers', 'param caller', 'has no value'),
            ('main.bicepparam', "kind: 'postgres'", "kind: 'oracle'", 'is none of'),
            ('modules/bus.bicep', 'requiresDuplicateDetection', 'requiresDuplicateDetecton', 'no property'),
            ('modules/bus.bicep', "lockDuration: 'PT5M'", 'lockDuration: true', 'not string'),
            ('modules/bus.bicep', "namespaces/queues@2024-01-01'", "namespaces/queue@2024-01-01'", 'no resource type'),
            ('modules/bus.bicep', "namespaces/queues@2024-01-01'", "namespaces/queues@2021-11-01'", 'has version'),
            ('modules/bus.bicep', "metricName: 'DeadletteredMessages'", 'metricName: 1', 'metricName'),
            ('modules/record.bicep', "type: 'Continuous',", "type: 'Continous',", 'no property'),
            ('modules/record.bicep', "tier: 'Continuous30Days'", "tier: 'Forever'", 'none of'),
            ('modules/record.bicep', 'account.properties.documentEndpoint', 'account.properties.endpoint', 'to read'),
            ('modules/app.bicep', 'scaleAndConcurrency:', 'scaleAndConcurency:', 'no property'),
            ('modules/app.bicep', "runtime: { name: 'custom'", "runtime: { name: 'rust'", 'none of'),
            ('modules/app.bicep', "ftpsState: 'Disabled'", "ftpsState: 'Off'", 'none of'),
            ('modules/app.bicep', 'param settings object', 'param settings object\nparam more string', 'has no value'),
            ('modules/app.bicep', '  serverFarmId: plan.id', '  serverFarmId: plann.id', 'not declared'),
            ('modules/storage.bicep', "kind: 'StorageV2'\n  sku: { name: replication }", "sku: { name: replication }", 'is missing'),
            ('modules/network.bicep', 'cidrSubnet(addressPrefix, 26, 0)', 'cidrSubnets(addressPrefix, 26, 0)', 'function `cidrSubnets`'),
            ('modules/zone.bicep', "location: 'global'", "location: 'here'", 'none of'),
            ('modules/vault.bicep', 'param token string', 'param token string\nvar unused = 1', 'never used'),
        ]:
            with self.subTest(f'{file}: {new}'), self.changed((file, old, new)) as infra:
                try:
                    problems = [p for resource in deploy(infra)[0] for p in self.types.problems(resource)]
                except bicep.BicepError as error:
                    problems = [str(error)]
                self.assertIn(expected, '\n'.join(problems))

    def test_what_opens_the_template_is_found_by_checkov(self):
        opened = [
            ('modules/storage.bicep', "publicNetworkAccess: 'Disabled'", "publicNetworkAccess: 'Enabled'", 'CKV_AZURE_59'),
            ('modules/app.bicep', 'httpsOnly: true', 'httpsOnly: false', 'CKV_AZURE_14'),
            ('modules/vault.bicep', 'enablePurgeProtection: true', 'enablePurgeProtection: false', 'CKV_AZURE_110'),
            ('modules/record.bicep', 'disableLocalAuth: true', 'disableLocalAuth: false', 'CKV_AZURE_140'),
        ]
        with self.changed(*[change[:3] for change in opened]) as infra:
            found = {check for check, *_ in checkov(deploy(infra)[0])[0]}
        self.assertLessEqual({check for *_, check in opened}, found)

    @contextlib.contextmanager
    def changed(self, *changes):
        """A copy of the template with some things changed."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / 'infra'
            shutil.copytree(INFRA, copy)
            for file, old, new in changes:
                text = (copy / file).read_text()
                self.assertIn(old, text)
                (copy / file).write_text(text.replace(old, new, 1))
            yield copy


if __name__ == '__main__':
    unittest.main()
