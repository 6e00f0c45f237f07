// Two accounts, because they have nothing in common but the service: what the Functions host needs to run (package, leases,
// keys), and the archive of signed checkpoints that nobody can change. Neither knows keys: Entra alone opens them.

param location string
param token string
param replication string
param handlerPrincipalId string
param checkpointerPrincipalId string
param archiveDays int
param endpointsSubnetId string
param blobZoneId string

var group = resourceGroup().id
var blobDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
// The package, and what the host makes of it: leases and schedules, function keys.
var hostContainers = ['app-package', 'azure-webjobs-hosts', 'azure-webjobs-secrets']

var closed = {
  allowSharedKeyAccess: false
  allowBlobPublicAccess: false
  allowCrossTenantReplication: false
  defaultToOAuthAuthentication: true
  minimumTlsVersion: 'TLS1_2'
  supportsHttpsTrafficOnly: true
  publicNetworkAccess: 'Disabled'
  networkAcls: { defaultAction: 'Deny', bypass: 'None' }
  encryption: { keySource: 'Microsoft.Storage', requireInfrastructureEncryption: true }
}

resource host 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'host${token}'
  location: location
  kind: 'StorageV2'
  sku: { name: replication }
  properties: closed

  resource blobs 'blobServices' = {
    name: 'default'
    properties: { deleteRetentionPolicy: { enabled: true, days: 7 } }

    resource containers 'containers' = [
      for name in hostContainers: { name: name, properties: { publicAccess: 'None' } }
    ]
  }
}

resource handlerOnHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in hostContainers: {
    name: guid(host::blobs::containers[i].id, handlerPrincipalId, blobDataContributor)
    scope: host::blobs::containers[i]
    properties: {
      roleDefinitionId: blobDataContributor
      principalId: handlerPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource archive 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: 'archive${token}'
  location: location
  kind: 'StorageV2'
  sku: { name: replication }
  properties: closed

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: 30 }
      containerDeleteRetentionPolicy: { enabled: true, days: 30 }
    }

    resource checkpoints 'containers' = {
      name: 'checkpoints'
      properties: { publicAccess: 'None' }

      // Unlocked until someone locks it, which no template can do and nobody can undo: see infra/README.md.
      resource worm 'immutabilityPolicies' = {
        name: 'default'
        properties: { immutabilityPeriodSinceCreationInDays: archiveDays, allowProtectedAppendWrites: true }
      }
    }
  }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'the-archive-stays'
  scope: archive
  properties: { level: 'CanNotDelete', notes: 'Signed checkpoints of the record. Deleting them makes a forged record pass.' }
}

// Contributor without deletion, and without the right to hand out links.
resource archiveWriter 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(group, 'archive-writer')
  properties: {
    roleName: 'Portcullis archive writer ${token}'
    description: 'Adds blobs to the archive and reads them; deletes nothing.'
    type: 'CustomRole'
    assignableScopes: [group]
    permissions: [
      {
        actions: []
        dataActions: [
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write'
          'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action'
        ]
      }
    ]
  }
}

resource checkpointerOnArchive 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(archive::blobs::checkpoints.id, checkpointerPrincipalId, archiveWriter.id)
  scope: archive::blobs::checkpoints
  properties: {
    roleDefinitionId: archiveWriter.id
    principalId: checkpointerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

module endpoints 'endpoint.bicep' = [
  for account in [{ name: 'host', id: host.id }, { name: 'archive', id: archive.id }]: {
    name: 'endpoint-${account.name}'
    params: {
      name: '${account.name}-blob'
      location: location
      subnetId: endpointsSubnetId
      targetId: account.id
      groupId: 'blob'
      zoneId: blobZoneId
    }
  }
]

output hostAccount string = host.name
output packageContainer string = '${host.properties.primaryEndpoints.blob}app-package'
output archiveContainer string = '${archive.properties.primaryEndpoints.blob}checkpoints'
