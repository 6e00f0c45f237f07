// Portcullis on Azure, whole: what runs it, what it may reach, who may reach it, and who is told when something is wrong.
// infra/README.md says what each identity may do, what it costs, and how to deploy it.

targetScope = 'resourceGroup'

@description('A database the gateway reaches through a private endpoint of its own.')
type databaseServer = {
  // Names the endpoint.
  name: string
  // The server's resource id.
  id: string
  kind: 'postgres' | 'mysql' | 'mssql'
}

@description('Begins every name; lower case letters and digits.')
@minLength(3)
@maxLength(12)
param prefix string = 'portcullis'

param location string = resourceGroup().location

@description('The network\'s addresses, a /25 or larger that nothing it is peered with uses.')
param addressPrefix string = '10.71.0.0/24'

@description('Where the gateway may go on port 443 besides its private endpoints: service tags, or prefixes of HTTP targets. As set: token keys of Entra, telemetry, and the host\'s extension bundle.')
param allowedEgress string[] = ['AzureActiveDirectory', 'AzureMonitor', 'AzureFrontDoor.FirstParty']

@description('Databases to reach by private endpoint.')
param databases databaseServer[] = []

@description('Address prefixes agents and people call the gateway from; 0.0.0.0/0 is everyone with a valid token.')
@minLength(1)
param callers string[]

@description('Address prefixes packages are deployed from.')
@minLength(1)
param deployers string[]

@description('Outbound IPv4 prefixes of the region\'s managed connectors: `az network list-service-tags`, tag AzureConnectors.REGION. Without them the Logic App cannot reach the queues, and nobody is asked.')
@minLength(1)
param connectorAddresses string[]

@description('For each approver group of the policy where its people are asked: { dba: { via: \'teams\', team: ID, channel: ID } } or { dba: { via: \'email\', to: ADDRESSES } }. Groups left out are asked nowhere and decide over the API.')
param recipients object

@description('The NAME of each secret the policy refers to.')
param secretNames string[] = []

@secure()
@description('Their values, by name.')
param secrets object = {}

@description('Who hears of dead letters, forged decisions and effects whose outcome is unknown.')
@minLength(1)
param alertEmails string[]

@description('Object id of who may erase session keys; empty: nobody.')
param eraserPrincipalId string = ''

@description('Premium has private endpoints and a firewall, Standard is Entra alone and a hundredth of the price. A tier cannot be changed later.')
@allowed(['Premium', 'Standard'])
param busTier string = 'Premium'

@description('Spreads everything over the region\'s zones; false where the region has none.')
param zoneRedundant bool = true

@description('Memory of an instance in MB; the handler itself takes some twenty.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 512

@description('HTTP instances kept warm.')
param alwaysReady int = 1

@minValue(40)
@maxValue(1000)
param maximumInstances int = 40

@description('Where callers find the gateway if not under its own host name, such as https://portcullis.example.com: a custom domain, or a gateway before it. No other host or origin is answered then.')
param publicUrl string = ''

@description('What an MCP client asks Entra for, such as https://portcullis.example.com/mcp/call; several are parted by spaces.')
param scopes string = ''

@description('A collector of OpenTelemetry that traces and metrics are sent to, such as https://collector.internal:4318, and that logs in to Application Insights for the gateway; it has to be within allowedEgress. Empty: logs alone.')
param collector string = ''

@description('How long logs are kept.')
@minValue(30)
@maxValue(730)
param logDays int = 90

@description('How long a checkpoint cannot be changed.')
@minValue(1)
@maxValue(146000)
param archiveDays int = 2555

var token = uniqueString(resourceGroup().id, prefix)
var databaseZones = {
  postgres: { zone: 'privatelink.postgres.database.azure.com', group: 'postgresqlServer' }
  mysql: { zone: 'privatelink.mysql.database.azure.com', group: 'mysqlServer' }
  mssql: { zone: 'privatelink${environment().suffixes.sqlServerHostname}', group: 'sqlServer' }
}
var zoneNames = union(
  [
    'privatelink.blob.${environment().suffixes.storage}'
    'privatelink.vaultcore.azure.net'
    'privatelink.documents.azure.com'
    'privatelink.servicebus.windows.net'
  ],
  map(databases, database => (databaseZones[database.kind].zone))
)

// The gateway itself.
resource handler 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}-handler'
  location: location
}

// Signs the record's checkpoints. It is no identity of the gateway, so that whoever takes the gateway over cannot sign.
resource checkpointer 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}-checkpointer'
  location: location
}

// The Logic App's.
resource approver 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${prefix}-approvals'
  location: location
}

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    name: '${prefix}-network'
    location: location
    addressPrefix: addressPrefix
    allowedEgress: allowedEgress
  }
}

module zones 'modules/zone.bicep' = [
  for name in zoneNames: {
    name: 'zone-${uniqueString(name)}'
    params: { name: name, networkId: network.outputs.id }
  }
]

module databaseEndpoints 'modules/endpoint.bicep' = [
  for database in databases: {
    name: 'endpoint-database-${database.name}'
    params: {
      name: 'database-${database.name}'
      location: location
      subnetId: network.outputs.endpointsSubnetId
      targetId: database.id
      groupId: databaseZones[database.kind].group
      zoneId: zones[indexOf(zoneNames, databaseZones[database.kind].zone)].outputs.id
    }
  }
]

module telemetry 'modules/telemetry.bicep' = {
  name: 'telemetry'
  params: {
    location: location
    name: prefix
    retentionDays: logDays
    alertEmails: alertEmails
    handlerPrincipalId: handler.properties.principalId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    location: location
    token: token
    replication: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
    handlerPrincipalId: handler.properties.principalId
    checkpointerPrincipalId: checkpointer.properties.principalId
    archiveDays: archiveDays
    endpointsSubnetId: network.outputs.endpointsSubnetId
    blobZoneId: zones[0].outputs.id
  }
}

module vault 'modules/vault.bicep' = {
  name: 'vault'
  params: {
    location: location
    token: token
    handlerPrincipalId: handler.properties.principalId
    checkpointerPrincipalId: checkpointer.properties.principalId
    secretNames: secretNames
    secrets: secrets
    workspaceId: telemetry.outputs.workspaceId
    endpointsSubnetId: network.outputs.endpointsSubnetId
    vaultZoneId: zones[1].outputs.id
  }
}

module record 'modules/record.bicep' = {
  name: 'record'
  params: {
    location: location
    name: '${prefix}-${token}'
    zoneRedundant: zoneRedundant
    handlerPrincipalId: handler.properties.principalId
    checkpointerPrincipalId: checkpointer.properties.principalId
    eraserPrincipalId: eraserPrincipalId
    workspaceId: telemetry.outputs.workspaceId
    endpointsSubnetId: network.outputs.endpointsSubnetId
    recordZoneId: zones[2].outputs.id
  }
}

module bus 'modules/bus.bicep' = {
  name: 'bus'
  params: {
    location: location
    name: '${prefix}-${token}'
    tier: busTier
    zoneRedundant: zoneRedundant
    connectorAddresses: connectorAddresses
    handlerPrincipalId: handler.properties.principalId
    approvalsPrincipalId: approver.properties.principalId
    endpointsSubnetId: network.outputs.endpointsSubnetId
    busZoneId: zones[3].outputs.id
    actionGroupId: telemetry.outputs.actionGroupId
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  params: {
    location: location
    name: '${prefix}-${token}'
    handlerId: handler.id
    handlerClientId: handler.properties.clientId
    subnetId: network.outputs.functionsSubnetId
    packageContainer: storage.outputs.packageContainer
    hostAccount: storage.outputs.hostAccount
    busHostName: bus.outputs.hostName
    insightsConnectionString: telemetry.outputs.connectionString
    instanceMemoryMB: instanceMemoryMB
    alwaysReady: alwaysReady
    maximumInstances: maximumInstances
    zoneRedundant: zoneRedundant
    callers: callers
    deployers: deployers
    settings: union(vault.outputs.settings, empty(collector) ? {} : {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector
      OTEL_SERVICE_NAME: prefix
    }, empty(publicUrl) ? {} : { PORTCULLIS_PUBLIC_URL: publicUrl }, empty(scopes) ? {} : { PORTCULLIS_SCOPES: scopes }, {
      PORTCULLIS_POLICY: 'policy.yaml'
      PORTCULLIS_COSMOS: record.outputs.endpoint
      PORTCULLIS_COSMOS_DATABASE: record.outputs.database
      PORTCULLIS_SERVICE_BUS: 'amqps://${bus.outputs.hostName}'
      PORTCULLIS_SEALING_KEY: vault.outputs.sealingKeyUri
    })
  }
}

module approvals 'modules/approvals.bicep' = {
  name: 'approvals'
  params: {
    location: location
    name: '${prefix}-approvals'
    identityId: approver.id
    busHostName: bus.outputs.hostName
    recipients: recipients
    workspaceId: telemetry.outputs.workspaceId
    actionGroupId: telemetry.outputs.actionGroupId
  }
}

@description('Where agents and people call.')
output url string = app.outputs.url
@description('What packages are deployed to.')
output appName string = app.outputs.name
@description('For the databases: the identity that gets a role there.')
output handlerName string = handler.name
output handlerClientId string = handler.properties.clientId
@description('The connections that need a sign-in before anyone is asked.')
output connectionsToSignIn string[] = approvals.outputs.connections
@description('Where checkpoints go, and the key that signs them.')
output archive string = storage.outputs.archiveContainer
output checkpointKey string = vault.outputs.checkpointKeyUri
