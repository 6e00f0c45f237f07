// A private DNS zone, and the network that resolves names through it.

@description('Such as `privatelink.vaultcore.azure.net`.')
param name string
param networkId string

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: name
  location: 'global'
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: zone
  name: 'gateway'
  location: 'global'
  properties: { registrationEnabled: false, virtualNetwork: { id: networkId } }
}

output id string = zone.id
