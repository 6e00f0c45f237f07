// The record. The identity that writes it can create events and read them, and has no right to change, replace or delete one;
// neither has anyone else but the owners of the account, whom a lock and continuous backup hold up.

param location string
param name string
param zoneRedundant bool
param handlerPrincipalId string
param checkpointerPrincipalId string
@description('Who may erase session keys; empty: nobody, until someone is named.')
param eraserPrincipalId string
param workspaceId string
param endpointsSubnetId string
param recordZoneId string

var databaseName = 'portcullis'
var items = 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items'
// The data plane writes scopes in its own way.
var eventsScope = '${account.id}/dbs/${databaseName}/colls/events'
var keysScope = '${account.id}/dbs/${databaseName}/colls/keys'
var requestsScope = '${account.id}/dbs/${databaseName}/colls/requests'

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: name
  location: location
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    // One region writes: with more, two of them could each create the same event.
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: zoneRedundant }]
    enableMultipleWriteLocations: false
    enableAutomaticFailover: false
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    capabilities: [{ name: 'EnableServerless' }]
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    publicNetworkAccess: 'Disabled'
    networkAclBypass: 'None'
    minimalTlsVersion: 'Tls12'
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: 'Continuous30Days' } }
  }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'the-record-stays'
  scope: account
  properties: { level: 'CanNotDelete', notes: 'The record of what agents did. It only grows.' }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  properties: { resource: { id: databaseName } }
}

// One document an event, named by its sequence number, so that of two events after the same one the second is a conflict.
// No `defaultTtl`: with it, whoever may create an event could create one that erases itself.
resource events 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'events'
  properties: {
    resource: {
      id: 'events'
      partitionKey: { paths: ['/subject'], kind: 'Hash', version: 2 }
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        // What the gateway asks by, and nothing else: an index of every path would cost more than the event.
        includedPaths: [{ path: '/subject/?' }, { path: '/seq/?' }, { path: '/data/request_id/?' }]
        excludedPaths: [{ path: '/*' }]
      }
    }
  }
}

// The wrapped key of each session, beside the chain: erasing it erases the sealed text, and the chain still verifies. In a
// partition of their own, the gateways' own keys, wrapped by the vault's.
resource keys 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'keys'
  properties: {
    resource: {
      id: 'keys'
      partitionKey: { paths: ['/session'], kind: 'Hash', version: 2 }
      indexingPolicy: { indexingMode: 'none', automatic: false }
    }
  }
}

// What searches see: folded from the events, and never more than they say. Whoever spoils it hides nothing that `verify` misses.
resource requests 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'requests'
  properties: {
    resource: {
      id: 'requests'
      partitionKey: { paths: ['/session'], kind: 'Hash', version: 2 }
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          { path: '/place/?' }
          { path: '/due/?' }
          { path: '/status/?' }
          { path: '/decided/principal/id/?' }
          { path: '/decided/connection/?' }
          { path: '/decided/effect/?' }
          { path: '/decided/decision/action/?' }
        ]
        excludedPaths: [{ path: '/*' }]
      }
    }
  }
}

// Clients ask for the account's description before anything else.
resource metadataReader 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = {
  parent: account
  name: guid(account.id, 'metadata-reader')
  properties: {
    roleName: 'Metadata reader'
    type: 'CustomRole'
    assignableScopes: [account.id]
    permissions: [{ dataActions: ['Microsoft.DocumentDB/databaseAccounts/readMetadata'] }]
  }
}

resource metadataReaders 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = [
  for principalId in [handlerPrincipalId, checkpointerPrincipalId]: {
    parent: account
    name: guid(account.id, principalId, 'metadata-reader')
    properties: { roleDefinitionId: metadataReader.id, principalId: principalId, scope: account.id }
  }
]

// What is not listed is denied: no replace, no upsert, no delete, no stored procedure.
resource appender 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = {
  parent: account
  name: guid(account.id, 'appender')
  properties: {
    roleName: 'Appender'
    type: 'CustomRole'
    assignableScopes: [eventsScope, keysScope]
    permissions: [
      {
        dataActions: [
          '${items}/create'
          '${items}/read'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/readChangeFeed'
        ]
      }
    ]
  }
  dependsOn: [events, keys]
}

resource handlerAppends 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = [
  for scope in [eventsScope, keysScope]: {
    parent: account
    name: guid(scope, handlerPrincipalId, 'appender')
    properties: { roleDefinitionId: appender.id, principalId: handlerPrincipalId, scope: scope }
  }
]

resource projector 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = {
  parent: account
  name: guid(account.id, 'projector')
  properties: {
    roleName: 'Projector'
    type: 'CustomRole'
    assignableScopes: [requestsScope]
    permissions: [
      {
        dataActions: [
          '${items}/create'
          '${items}/read'
          '${items}/replace'
          '${items}/upsert'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
        ]
      }
    ]
  }
  dependsOn: [requests]
}

resource handlerProjects 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: account
  name: guid(requestsScope, handlerPrincipalId, 'projector')
  properties: { roleDefinitionId: projector.id, principalId: handlerPrincipalId, scope: requestsScope }
}

resource reader 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = {
  parent: account
  name: guid(account.id, 'reader')
  properties: {
    roleName: 'Event reader'
    type: 'CustomRole'
    assignableScopes: [eventsScope]
    permissions: [
      {
        dataActions: [
          '${items}/read'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery'
          'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/readChangeFeed'
        ]
      }
    ]
  }
  dependsOn: [events]
}

resource checkpointerReads 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: account
  name: guid(eventsScope, checkpointerPrincipalId, 'reader')
  properties: { roleDefinitionId: reader.id, principalId: checkpointerPrincipalId, scope: eventsScope }
}

// Erasing a session's key is a person's decision, or their job's, never the gateway's.
resource eraser 'Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions@2025-04-15' = {
  parent: account
  name: guid(account.id, 'eraser')
  properties: {
    roleName: 'Session key eraser'
    type: 'CustomRole'
    assignableScopes: [keysScope]
    permissions: [{ dataActions: ['${items}/read', '${items}/delete'] }]
  }
  dependsOn: [keys]
}

resource eraserErases 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = if (!empty(eraserPrincipalId)) {
  parent: account
  name: guid(keysScope, eraserPrincipalId, 'eraser')
  properties: { roleDefinitionId: eraser.id, principalId: eraserPrincipalId, scope: keysScope }
}

// Who changed the account itself.
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: account
  properties: { workspaceId: workspaceId, logs: [{ category: 'ControlPlaneRequests', enabled: true }] }
}

module endpoint 'endpoint.bicep' = {
  name: 'endpoint-record'
  params: {
    name: 'record'
    location: location
    subnetId: endpointsSubnetId
    targetId: account.id
    groupId: 'Sql'
    zoneId: recordZoneId
  }
}

output endpoint string = account.properties.documentEndpoint
output database string = databaseName
