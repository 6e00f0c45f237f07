// The gateway: the custom handler on Flex Consumption. The policy it names is a file of the package.

param location string
param name string
param handlerId string
param handlerClientId string
param subnetId string
param packageContainer string
param hostAccount string
param busHostName string
param insightsConnectionString string
param instanceMemoryMB int
param alwaysReady int
param maximumInstances int
param zoneRedundant bool
@description('Address prefixes agents and people call from.')
param callers string[]
@description('Address prefixes packages are deployed from.')
param deployers string[]
@description('Settings of the gateway itself.')
param settings object

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: '${name}-plan'
  location: location
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${handlerId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: handlerId
    virtualNetworkSubnetId: subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      ipSecurityRestrictionsDefaultAction: 'Deny'
      ipSecurityRestrictions: map(range(0, length(callers)), i => {
        name: 'caller-${i}'
        priority: 100 + i
        action: 'Allow'
        ipAddress: callers[i]
      })
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: 'Deny'
      scmIpSecurityRestrictions: map(range(0, length(deployers)), i => {
        name: 'deployer-${i}'
        priority: 100 + i
        action: 'Allow'
        ipAddress: deployers[i]
      })
      appSettings: map(
        items(
          union(
            {
              AzureWebJobsStorage__accountName: hostAccount
              AzureWebJobsStorage__credential: 'managedidentity'
              AzureWebJobsStorage__clientId: handlerClientId
              ServiceBus__fullyQualifiedNamespace: busHostName
              ServiceBus__credential: 'managedidentity'
              ServiceBus__clientId: handlerClientId
              APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
              APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${handlerClientId};Authorization=AAD'
              AZURE_CLIENT_ID: handlerClientId
            },
            settings
          )
        ),
        setting => { name: setting.key, value: setting.value }
      )
    }
    functionAppConfig: {
      runtime: { name: 'custom', version: '1.0' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainer
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: handlerId }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReady == 0 ? [] : [{ name: 'http', instanceCount: alwaysReady }]
        triggers: { http: { perInstanceConcurrency: 64 } }
      }
    }
  }
}

// Packages are deployed with an Entra token, never with a password.
resource passwords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = [
  for door in ['scm', 'ftp']: {
    parent: app
    name: door
    properties: { allow: false }
  }
]

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
