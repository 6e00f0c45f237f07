//! `portcullis serve`: the gateway.

use super::{Exit, Failure, Format, client::block_on, start_telemetry};
use crate::{app, config::Config};

/// Arguments of `portcullis serve`: none, the environment configures it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Settings, all from the environment:
  PORTCULLIS_POLICY    the policy file or folder (required)
  PORTCULLIS_DATA      the folder for the record and the keys of one gateway; or, for any number of gateways:
  PORTCULLIS_COSMOS, PORTCULLIS_COSMOS_DATABASE
                       the record in Azure Cosmos DB: https://ACCOUNT.documents.azure.com/ with this process's own
                       identity, and the name of the database
  PORTCULLIS_SEALING_KEY
                       what keeps the keys of all gateways of one record: https://NAME.vault.azure.net/keys/KEY, or a
                       folder; PORTCULLIS_DATA if not set
  PORTCULLIS_KEY_VAULT where secrets are that the environment does not have: https://NAME.vault.azure.net
  PORTCULLIS_LISTEN    address and port; 127.0.0.1:7171 if not set, and TLS in front of any other
  PORTCULLIS_PUBLIC_URL
                       the address that clients use, such as https://portcullis.example.com; without it MCP is spoken
                       with this machine only
  PORTCULLIS_SCOPES    the scopes that MCP clients ask a token with, separated by spaces
  PORTCULLIS_SERVICE_BUS
                       where approvers are told and heard by messages: amqps://NAMESPACE.servicebus.windows.net with
                       this process's own identity, or amqps://USER:PASSWORD@HOST for RabbitMQ
  PORTCULLIS_INSTANCE  this process's name among others; its process id if not set
  RUST_LOG             what is logged; this program's `info` if not set
  OTEL_EXPORTER_OTLP_ENDPOINT
                       a collector of OpenTelemetry for traces and metrics, such as http://127.0.0.1:4318; none if not set.
                       OTEL_SERVICE_NAME and the specification's other variables say more
  FUNCTIONS_CUSTOMHANDLER_PORT
                       set by the Functions host; wins over PORTCULLIS_LISTEN
and whatever the policy names as ${secret:NAME}.

The policy must name an issuer of tokens (`identity.issuers`); `portcullis dev` has one of its own.")]
pub(super) struct Args {}

/// Runs it.
pub(super) fn run(_: Args, format: Format) -> Result<Exit, Failure> {
    let config = Config::from_env(|name| std::env::var(name).ok())
        .map_err(|error| Failure::Usage(error.to_string()))?;
    block_on(async move {
        let telemetry = start_telemetry(format)?;
        let running = app::serve(&config)
            .await
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let ended = running.until_signal().await;
        telemetry.stop().await;
        match ended {
            app::Ended::Told => Ok(Exit::Done),
            app::Ended::Itself => Err(Failure::Failed("the listener ended".into())),
        }
    })
}
