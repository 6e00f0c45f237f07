// Logs, metrics, and who is woken by them. Ingestion knows no keys: only the gateway's identity may publish.

param location string
param name string
param retentionDays int
param alertEmails string[]
param handlerPrincipalId string

var metricsPublisher = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '3913510d-42f4-4e42-8a64-420c390055eb')

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    features: { disableLocalAuth: true }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: '${name}-insights'
  location: location
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true
    // Everything counts: an alert below must not depend on a sample.
    SamplingPercentage: 100
  }
}

resource handlerPublishes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, handlerPrincipalId, metricsPublisher)
  scope: insights
  properties: { roleDefinitionId: metricsPublisher, principalId: handlerPrincipalId, principalType: 'ServicePrincipal' }
}

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${name}-alerts'
  location: 'global'
  properties: {
    enabled: true
    groupShortName: 'portcullis'
    emailReceivers: map(alertEmails, address => { name: address, emailAddress: address, useCommonAlertSchema: true })
  }
}

// An effect was interrupted and nobody knows whether it happened: the one state that only a person can end. The gateway logs
// the event's name when it appends it.
resource outcomeUnknown 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: '${name}-outcome-unknown'
  location: location
  properties: {
    displayName: 'An effect was interrupted: its outcome is unknown'
    description: 'Look at the target, then at GET /v1/sessions/{id}. The gateway will not run it again.'
    severity: 1
    enabled: true
    scopes: [insights.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT10M'
    criteria: {
      allOf: [
        {
          query: 'traces | where message contains "execution.outcome_unknown"'
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    autoMitigate: false
    actions: { actionGroups: [people.id] }
  }
}

output workspaceId string = workspace.id
output connectionString string = insights.properties.ConnectionString
output actionGroupId string = people.id
