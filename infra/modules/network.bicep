// The gateway's network: one subnet it runs in, one with the private endpoints of everything it uses. Nothing else may reach
// those endpoints, and the gateway reaches nothing but them and `allowedEgress`.

param name string
param location string
param addressPrefix string
@description('Service tags or address prefixes the gateway may reach on port 443.')
param allowedEgress string[]

var functionsPrefix = cidrSubnet(addressPrefix, 26, 0)
var endpointsPrefix = cidrSubnet(addressPrefix, 26, 1)
// HTTPS, AMQP over TLS, SQL Server, MySQL, PostgreSQL and its pooler.
var endpointPorts = ['443', '5671', '1433', '3306', '5432', '6432']

resource aroundFunctions 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: '${name}-functions'
  location: location
  properties: {
    securityRules: concat(
      [
        {
          name: 'endpoints'
          properties: {
            priority: 100
            direction: 'Outbound'
            access: 'Allow'
            protocol: 'Tcp'
            sourceAddressPrefix: functionsPrefix
            sourcePortRange: '*'
            destinationAddressPrefix: endpointsPrefix
            destinationPortRanges: endpointPorts
          }
        }
      ],
      map(range(0, length(allowedEgress)), i => {
        name: 'egress-${i}'
        properties: {
          priority: 200 + i
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: functionsPrefix
          sourcePortRange: '*'
          destinationAddressPrefix: allowedEgress[i]
          destinationPortRange: '443'
        }
      }),
      [
        {
          name: 'nothing-else'
          properties: {
            priority: 4096
            direction: 'Outbound'
            access: 'Deny'
            protocol: '*'
            sourceAddressPrefix: '*'
            sourcePortRange: '*'
            destinationAddressPrefix: '*'
            destinationPortRange: '*'
          }
        }
      ]
    )
  }
}

resource aroundEndpoints 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: '${name}-endpoints'
  location: location
  properties: {
    securityRules: [
      {
        name: 'gateway'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: functionsPrefix
          sourcePortRange: '*'
          destinationAddressPrefix: endpointsPrefix
          destinationPortRanges: endpointPorts
        }
      }
      {
        name: 'nobody-else'
        properties: {
          priority: 4096
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: name
  location: location
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'functions'
        properties: {
          addressPrefix: functionsPrefix
          networkSecurityGroup: { id: aroundFunctions.id }
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointsPrefix
          networkSecurityGroup: { id: aroundEndpoints.id }
          // Without this the rules above do not apply to private endpoints.
          privateEndpointNetworkPolicies: 'NetworkSecurityGroupEnabled'
        }
      }
    ]
  }
}

output id string = network.id
output functionsSubnetId string = '${network.id}/subnets/functions'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
