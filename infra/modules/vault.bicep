// Keys that never leave the vault, and the secrets the policy names. The gateway may use the sealing key and read its own
// secrets; the checkpointer may sign with the checkpoint key; neither may do the other's, and neither may manage anything.

param location string
param token string
param handlerPrincipalId string
param checkpointerPrincipalId string
@description('Names of the settings that are secrets: the NAME of each secret the policy refers to.')
param secretNames string[]
@secure()
@description('The value of each.')
param secrets object
param workspaceId string
param endpointsSubnetId string
param vaultZoneId string

var group = resourceGroup().id
var cryptoServiceEncryptionUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'e147488a-f6f5-4113-8e2d-b22465e65bf6')
var secretsUser = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4633458b-17de-408a-b874-0445c86b69e6')

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: 'kv${token}'
  location: location
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'premium' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: 'Disabled'
    networkAcls: { defaultAction: 'Deny', bypass: 'None' }
  }
}

// Wraps the gateways' own keys, which wrap those of sessions. Losing it makes every sealed statement unreadable, so it does not
// expire.
resource sealing 'Microsoft.KeyVault/vaults/keys@2024-11-01' = {
  parent: vault
  name: 'sealing'
  properties: { kty: 'RSA-HSM', keySize: 3072, keyOps: ['wrapKey', 'unwrapKey'] }
}

// Signs checkpoints of the record.
resource checkpoint 'Microsoft.KeyVault/vaults/keys@2024-11-01' = {
  parent: vault
  name: 'checkpoint'
  properties: { kty: 'EC-HSM', curveName: 'P-256', keyOps: ['sign', 'verify'] }
}

// The vault's names have no underscores.
resource values 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = [
  for name in secretNames: {
    parent: vault
    name: replace(name, '_', '-')
    properties: { value: secrets[name], contentType: 'text/plain' }
  }
]

resource handlerOnSealing 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(sealing.id, handlerPrincipalId, cryptoServiceEncryptionUser)
  scope: sealing
  properties: {
    roleDefinitionId: cryptoServiceEncryptionUser
    principalId: handlerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource handlerOnSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, i) in secretNames: {
    name: guid(vault.id, name, handlerPrincipalId, secretsUser)
    scope: values[i]
    properties: { roleDefinitionId: secretsUser, principalId: handlerPrincipalId, principalType: 'ServicePrincipal' }
  }
]

// No built-in role can sign and nothing else.
resource signer 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(group, 'checkpoint-signer')
  properties: {
    roleName: 'Portcullis checkpoint signer ${token}'
    description: 'Signs with a key and reads its public half.'
    type: 'CustomRole'
    assignableScopes: [group]
    permissions: [
      {
        actions: []
        dataActions: ['Microsoft.KeyVault/vaults/keys/read', 'Microsoft.KeyVault/vaults/keys/sign/action']
      }
    ]
  }
}

resource checkpointerOnCheckpoint 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(checkpoint.id, checkpointerPrincipalId, signer.id)
  scope: checkpoint
  properties: { roleDefinitionId: signer.id, principalId: checkpointerPrincipalId, principalType: 'ServicePrincipal' }
}

// Who used which key, and who was refused.
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: { workspaceId: workspaceId, logs: [{ categoryGroup: 'audit', enabled: true }] }
}

module endpoint 'endpoint.bicep' = {
  name: 'endpoint-vault'
  params: {
    name: 'vault'
    location: location
    subnetId: endpointsSubnetId
    targetId: vault.id
    groupId: 'vault'
    zoneId: vaultZoneId
  }
}

output sealingKeyUri string = sealing.properties.keyUri
output checkpointKeyUri string = checkpoint.properties.keyUri
@description('App settings with references to the secrets, none of their values.')
output settings object = toObject(
  secretNames,
  name => name,
  name => '@Microsoft.KeyVault(SecretUri=https://${vault.name}${environment().suffixes.keyvaultDns}/secrets/${replace(name, '_', '-')})'
)
