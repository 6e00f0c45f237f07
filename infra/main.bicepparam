using 'main.bicep'

// Agents' and approvers' networks, where packages come from, and who is woken; several are parted by spaces.
param callers = split(readEnvironmentVariable('PORTCULLIS_CALLERS'), ' ')
param deployers = split(readEnvironmentVariable('PORTCULLIS_DEPLOYERS'), ' ')
// az network list-service-tags, see infra/README.md.
param connectorAddresses = split(readEnvironmentVariable('PORTCULLIS_CONNECTORS'), ' ')
param alertEmails = split(readEnvironmentVariable('PORTCULLIS_ALERTS'), ' ')

// One entry for each approver group of the policy.
param recipients = {
  dba: {
    via: 'teams'
    team: readEnvironmentVariable('PORTCULLIS_TEAM')
    channel: readEnvironmentVariable('PORTCULLIS_CHANNEL')
  }
}

// What the policy names as a secret. A connection that signs in with the gateway's identity needs none.
param secretNames = ['CRM_READ_URL', 'CRM_WRITE_URL']
param secrets = {
  CRM_READ_URL: readEnvironmentVariable('CRM_READ_URL')
  CRM_WRITE_URL: readEnvironmentVariable('CRM_WRITE_URL')
}

param databases = [
  { name: 'crm', kind: 'postgres', id: readEnvironmentVariable('PORTCULLIS_CRM_SERVER') }
]
