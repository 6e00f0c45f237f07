// The way to approvers and back. The gateway may only ask and hear answers, the Logic App may only hear questions and answer;
// nobody has a key, and nobody may manage queues.

param location string
param name string
@allowed(['Premium', 'Standard'])
param tier string
param zoneRedundant bool
@description('Addresses the managed connectors of the region call from.')
param connectorAddresses string[]
param handlerPrincipalId string
param approvalsPrincipalId string
param endpointsSubnetId string
param busZoneId string
param actionGroupId string

var dataSender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39')
var dataReceiver = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0')
// The Standard tier has neither private endpoints nor a firewall: Entra is then the only wall.
var walled = tier == 'Premium'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  sku: walled ? { name: 'Premium', tier: 'Premium', capacity: 1 } : { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    // A Consumption Logic App runs outside every virtual network; the rules below let its connector in and nobody else.
    publicNetworkAccess: 'Enabled'
    zoneRedundant: walled && zoneRedundant
  }
}

resource walls 'Microsoft.ServiceBus/namespaces/networkRuleSets@2024-01-01' = if (walled) {
  parent: namespace
  name: 'default'
  properties: {
    defaultAction: 'Deny'
    publicNetworkAccess: 'Enabled'
    trustedServiceAccessEnabled: false
    ipRules: map(connectorAddresses, address => { action: 'Allow', ipMask: address })
  }
}

// Questions. One that nobody fetched in a day means that nobody is asked: it goes to the dead letters, and an alert.
resource requests 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: 'approval-requests'
  properties: {
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'P1D'
    lockDuration: 'PT5M'
    maxDeliveryCount: 10
    defaultMessageTimeToLive: 'P1D'
    deadLetteringOnMessageExpiration: true
  }
}

// Answers, in order within a session.
resource decisions 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: 'approval-decisions'
  properties: {
    requiresSession: true
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'P1D'
    lockDuration: 'PT1M'
    maxDeliveryCount: 10
    defaultMessageTimeToLive: 'P7D'
    deadLetteringOnMessageExpiration: true
  }
}

// Answers the gateway will never accept: forged, malformed, for nothing it knows. A custom handler cannot dead-letter a
// message itself, so it puts them here; each is worth an alert.
resource refused 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: 'approval-decisions-refused'
  properties: {
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'P1D'
    lockDuration: 'PT1M'
    maxDeliveryCount: 10
    defaultMessageTimeToLive: 'P14D'
    deadLetteringOnMessageExpiration: false
  }
}

resource handlerAsks 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(requests.id, handlerPrincipalId, dataSender)
  scope: requests
  properties: { roleDefinitionId: dataSender, principalId: handlerPrincipalId, principalType: 'ServicePrincipal' }
}

resource handlerHears 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(decisions.id, handlerPrincipalId, dataReceiver)
  scope: decisions
  properties: { roleDefinitionId: dataReceiver, principalId: handlerPrincipalId, principalType: 'ServicePrincipal' }
}

resource handlerRefuses 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(refused.id, handlerPrincipalId, dataSender)
  scope: refused
  properties: { roleDefinitionId: dataSender, principalId: handlerPrincipalId, principalType: 'ServicePrincipal' }
}

resource approvalsHear 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(requests.id, approvalsPrincipalId, dataReceiver)
  scope: requests
  properties: { roleDefinitionId: dataReceiver, principalId: approvalsPrincipalId, principalType: 'ServicePrincipal' }
}

resource approvalsAnswer 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(decisions.id, approvalsPrincipalId, dataSender)
  scope: decisions
  properties: { roleDefinitionId: dataSender, principalId: approvalsPrincipalId, principalType: 'ServicePrincipal' }
}

resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-dead-letters'
  location: 'global'
  properties: {
    description: 'A question or an answer was given up on: an approval is stuck, and its request will expire.'
    severity: 1
    enabled: true
    scopes: [namespace.id]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'dead-letters'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'DeadletteredMessages'
          dimensions: [{ name: 'EntityName', operator: 'Include', values: ['*'] }]
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Maximum'
        }
      ]
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}

resource refusals 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-refused-decisions'
  location: 'global'
  properties: {
    description: 'Someone sent a decision that is forged or makes no sense.'
    severity: 1
    enabled: true
    scopes: [namespace.id]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'refused'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'IncomingMessages'
          dimensions: [{ name: 'EntityName', operator: 'Include', values: [refused.name] }]
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}

module endpoint 'endpoint.bicep' = if (walled) {
  name: 'endpoint-bus'
  params: {
    name: 'bus'
    location: location
    subnetId: endpointsSubnetId
    targetId: namespace.id
    groupId: 'namespace'
    zoneId: busZoneId
  }
}

output hostName string = '${namespace.name}.servicebus.windows.net'
