//! What each method of the protocol does.
//!
//! A caller who leaves ends the call: a read that runs is cancelled at its target. What was approved, or waits to be, lives
//! on record and not in the call, and goes on.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::http::request::Parts;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams,
        CompleteRequestMethod, CompleteRequestParams, CompleteResult, CreateTaskResult,
        GetTaskParams, GetTaskResult, Implementation, ListPromptsRequestMethod, ListPromptsResult,
        ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
        ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProtocolVersion, ServerCapabilities, ServerConfig, Tool, UpdateTaskParams,
    },
    service::RequestContext,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument;

use super::{
    Sent, results, tasks,
    tools::{
        self, CommandCall, DescribeCall, GetResultCall, HttpCall, LONGEST_WAIT, Name, Nothing,
        SqlCall,
    },
};
use crate::{
    domain::{
        connection::ConnectionName, id::RequestId, operation::Operation, principal::Principal,
        session::RequestStatus, trace,
    },
    door::{self, Connections, Problem},
    gateway::{Ask, GateError, Gateway, Manner, Ports, Standing},
};

/// The versions spoken, oldest first. The ones before had another transport.
const VERSIONS: &[ProtocolVersion] = &[
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];

/// For how long the list of tools may be kept, in milliseconds.
const LIST_LIFE: u64 = 300_000;

const INSTRUCTIONS: &str = "Portcullis stands between you and production. Start with `list_connections`, then `describe`. \
    Read with `query`, change with `execute`, run programs with `run_command`, call APIs with `http_request`. What policy does not allow is denied, and some changes wait until a person has \
    approved exactly what you sent: then call `get_result`. Personal data and secrets are masked in what comes back. \
    Everything is on record.";

type Context = RequestContext<RoleServer>;

/// The server behind the transport.
pub(super) struct Server<P: Ports> {
    gateway: Arc<Gateway<P>>,
}

impl<P: Ports> Clone for Server<P> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.gateway))
    }
}

impl<P: Ports> Server<P> {
    pub(super) fn new(gateway: Arc<Gateway<P>>) -> Self {
        Self { gateway }
    }

    async fn call(&self, name: Name, context: &Context) -> Result<CallToolResponse, Problem> {
        let (head, sent) = sent(context).ok_or(GateError::Internal)?;
        let (gateway, principal) = (&self.gateway, &sent.principal);
        let arguments = sent.arguments()?;
        Ok(match name {
            Name::ListConnections => {
                let Nothing {} = read(arguments)?;
                let connections = Connections::of(&gateway.policy(), principal);
                results::plain(&connections).into()
            }
            Name::Describe => {
                let call: DescribeCall = read(arguments)?;
                let session = door::session_of(&head.headers)?;
                let (connection, relations) = (&call.connection, &call.relations);
                let described =
                    gateway.description(principal, connection, relations, session.as_ref());
                results::plain(&described.await?).into()
            }
            Name::Query => {
                let call: SqlCall = read(arguments)?;
                let only_reads = Some("use the tool `execute` for what changes something");
                let wait = patience(call.wait_seconds);
                let ask = statement(call, principal, head, context)?;
                self.submit(ask, only_reads, wait, context).await?
            }
            Name::Execute => {
                let call: SqlCall = read(arguments)?;
                let wait = patience(call.wait_seconds);
                let ask = statement(call, principal, head, context)?;
                self.submit(ask, None, wait, context).await?
            }
            Name::RunCommand => {
                let call: CommandCall = read(arguments)?;
                let wait = patience(call.wait_seconds);
                let operation = door::command(call.argv, call.stdin)?;
                let to = (call.connection, operation, call.reason);
                let ask = asked(to, principal, head, context)?;
                self.submit(ask, None, wait, context).await?
            }
            Name::HttpRequest => {
                let call: HttpCall = read(arguments)?;
                let wait = patience(call.wait_seconds);
                let body = call.body.unwrap_or_default();
                let operation = door::http(&call.method, &call.path, &call.headers.0, body)?;
                let to = (call.connection, operation, call.reason);
                let ask = asked(to, principal, head, context)?;
                self.submit(ask, None, wait, context).await?
            }
            Name::GetResult => {
                let call: GetResultCall = read(arguments)?;
                let wait = patience(call.wait_seconds);
                let outcome = gateway.request(principal, &call.request_id, wait).await?;
                results::outcome(outcome).into()
            }
        })
    }

    /// Submits what is asked, once: the same again joins what waits. `only_reads`: what to do instead, where this way in is
    /// for reads alone.
    async fn submit(
        &self,
        ask: Ask,
        only_reads: Option<&'static str>,
        wait: Duration,
        context: &Context,
    ) -> Result<CallToolResponse, Problem> {
        let principal = ask.principal.clone();
        let manner = Manner {
            only_reads,
            joins: true,
        };
        let outcome = self.gateway.submit_as(ask, manner).await?;
        if outcome.status.is_final() {
            return Ok(results::outcome(outcome).into());
        }
        let id = &outcome.request_id;
        let knows_tasks = context
            .client_capabilities()
            .is_some_and(|client| client.supports_tasks());
        if knows_tasks && outcome.status == RequestStatus::PendingApproval {
            // On record already, so that whoever is asked for it next knows it.
            let standing = self.gateway.standing(&principal, id, Duration::ZERO);
            let task = tasks::begun(&standing.await?);
            return Ok(CreateTaskResult::new(task).into());
        }
        let outcome = self.gateway.request(&principal, id, wait).await?;
        Ok(results::outcome(outcome).into())
    }

    /// The request that is a task of the caller's.
    async fn task(&self, id: &str, context: &Context) -> Result<Standing, ErrorData> {
        let unknown =
            || ErrorData::invalid_params(format!("there is no task `{id}` of yours"), None);
        let (_, sent) = sent(context).ok_or_else(|| internal(&GateError::Internal))?;
        let id: RequestId = id.parse().map_err(|_| unknown())?;
        let standing = self.gateway.standing(&sent.principal, &id, Duration::ZERO);
        standing.await.map_err(|error| match error {
            GateError::UnknownRequest(_) => unknown(),
            other => internal(&other),
        })
    }
}

impl<P: Ports> ServerHandler for Server<P> {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tasks()
            .build();
        let server = Implementation::new("portcullis", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities)
            .with_server_info(server.with_title("Portcullis"))
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(VERSIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = ListToolsResult::with_all_items(tools::all().to_vec());
        Ok(tools
            .with_ttl_ms(LIST_LIFE)
            .with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools::all().iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(name) = Name::parse(&request.name) else {
            let names: Vec<_> = tools::all().iter().map(|tool| &*tool.name).collect();
            let why = format!(
                "there is no tool `{}`, only {}",
                request.name,
                names.join(", ")
            );
            return Err(ErrorData::invalid_params(why, None));
        };
        // The protocol's own task for a call is outside of the span of its request.
        let span = sent(&context).map_or_else(tracing::Span::none, |(_, sent)| sent.span.clone());
        tokio::select! {
            answer = self.call(name, &context).instrument(span) => {
                Ok(answer.unwrap_or_else(|problem| results::problem(&problem).into()))
            }
            // Nobody hears this; it ends the call.
            () = context.ct.cancelled() => Err(ErrorData::internal_error("the caller left", None)),
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        let standing = self.task(&request.task_id, &context).await?;
        Ok(GetTaskResult::new(tasks::detailed(standing)))
    }

    /// Acknowledged, as the extension has it for input that nobody asked for: no task here asks the client for any.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        self.task(&request.task_id, &context).await.map(|_| ())
    }

    /// Acknowledged, and nothing comes of it, as the extension lets a server choose: a question that was put to people is
    /// theirs to answer until it expires.
    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: Context,
    ) -> Result<(), ErrorData> {
        self.task(&request.task_id, &context).await.map(|_| ())
    }

    // Nothing is offered of what follows, and an empty answer would say that it is.

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: Context,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<
            ListResourceTemplatesRequestMethod,
        >())
    }
}

fn statement(
    call: SqlCall,
    principal: &Principal,
    head: &Parts,
    context: &Context,
) -> Result<Ask, Problem> {
    let operation = door::sql(call.sql, &call.params, call.max_rows)?;
    let to = (call.connection, operation, call.reason);
    asked(to, principal, head, context)
}

fn asked(
    (connection, operation, reason): (ConnectionName, Operation, Option<String>),
    principal: &Principal,
    head: &Parts,
    context: &Context,
) -> Result<Ask, Problem> {
    let headers = &head.headers;
    let mut ask = door::asked(principal.clone(), connection, operation, reason, headers)?;
    // The protocol carries it in the body as well; the header wins, as everywhere.
    let carried = context.meta.get("traceparent").and_then(Value::as_str);
    if let Some(carried) = carried.and_then(trace::traceparent)
        && door::from_caller(headers).is_none()
    {
        ask.traceparent = Some(carried.to_owned());
    }
    Ok(ask)
}

/// What came with a request, where the door's guard put it.
fn sent(context: &Context) -> Option<(&Parts, &Sent)> {
    let head = context.extensions.get::<Parts>()?;
    Some((head, head.extensions.get::<Sent>()?))
}

/// Arguments of exactly the shape asked for.
fn read<T: DeserializeOwned>(arguments: &str) -> Result<T, Problem> {
    // serde would take an array for a struct, its fields in order: nobody means that.
    if !arguments.starts_with('{') {
        return Err(Problem::unprocessable("`arguments` must be an object."));
    }
    serde_json::from_str(arguments)
        .map_err(|error| Problem::unprocessable(format!("In `arguments`: {error}.")))
}

fn patience(seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
}

fn internal(error: &GateError) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
