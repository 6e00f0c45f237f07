// The Logic App that asks people, in Teams or by e-mail, and passes on what they said. Its definition is approvals/workflow.json.

param location string
param name string
param identityId string
param busHostName string
@description('For each approver group of the policy, where its people are asked.')
param recipients object
param workspaceId string
param actionGroupId string

var apis = '${subscription().id}/providers/Microsoft.Web/locations/${location}/managedApis'

resource bus 'Microsoft.Web/connections@2016-06-01' = {
  name: '${name}-servicebus'
  location: location
  #disable-next-line BCP187
  kind: 'V1'
  properties: {
    displayName: 'The gateway\'s queues'
    api: { id: '${apis}/servicebus' }
    #disable-next-line BCP089
    parameterValueSet: {
      name: 'managedIdentityAuth'
      values: { namespaceEndpoint: { value: 'sb://${busHostName}/' } }
    }
  }
}

// These two act as a person: each needs one sign-in after the deployment, by the account that is to post and to send.
resource teams 'Microsoft.Web/connections@2016-06-01' = {
  name: '${name}-teams'
  location: location
  #disable-next-line BCP187
  kind: 'V1'
  properties: { displayName: 'Asks approvers', api: { id: '${apis}/teams' } }
}

resource office365 'Microsoft.Web/connections@2016-06-01' = {
  name: '${name}-office365'
  location: location
  #disable-next-line BCP187
  kind: 'V1'
  properties: { displayName: 'Asks approvers', api: { id: '${apis}/office365' } }
}

resource workflow 'Microsoft.Logic/workflows@2019-05-01' = {
  name: name
  location: location
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    state: 'Enabled'
    definition: loadJsonContent('../approvals/workflow.json')
    // What a run saw holds the proofs of questions still open. Nobody reads it; what was decided is on the record.
    accessControl: { contents: { allowedCallerIpAddresses: [{ addressRange: '0.0.0.0-0.0.0.0' }] } }
    parameters: {
      recipients: { value: recipients }
      '$connections': {
        value: {
          servicebus: {
            id: '${apis}/servicebus'
            connectionId: bus.id
            connectionName: bus.name
            connectionProperties: { authentication: { type: 'ManagedServiceIdentity', identity: identityId } }
          }
          teams: { id: '${apis}/teams', connectionId: teams.id, connectionName: teams.name }
          office365: { id: '${apis}/office365', connectionId: office365.id, connectionName: office365.name }
        }
      }
    }
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: workflow
  properties: { workspaceId: workspaceId, logs: [{ category: 'WorkflowRuntime', enabled: true }] }
}

resource failures 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-failures'
  location: 'global'
  properties: {
    description: 'Somebody was not asked, or their answer was not passed on: the request will expire.'
    severity: 2
    enabled: true
    scopes: [workflow.id]
    evaluationFrequency: 'PT1M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          name: 'failures'
          criterionType: 'StaticThresholdCriterion'
          metricNamespace: 'Microsoft.Logic/workflows'
          metricName: 'ActionsFailed'
          operator: 'GreaterThan'
          threshold: 0
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [{ actionGroupId: actionGroupId }]
  }
}

output connections string[] = [teams.name, office365.name]
