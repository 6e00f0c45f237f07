//! A server with the tools that the official conformance suite calls by name, behind the product's own transport: what the
//! suite finds out about the protocol, it finds out about that.

use std::{sync::Arc, time::Duration};

use portcullis::mcp::{Site, transport};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
        ClientCapabilities, CompleteRequestMethod, CompleteRequestParams, CompleteResult,
        ContentBlock, CreateTaskResult, GetTaskParams, GetTaskResult, Implementation, InputRequest,
        JsonObject, ListPromptsRequestMethod, ListPromptsResult,
        ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
        ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool, UpdateTaskParams,
    },
    service::RequestContext,
    task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions},
};
use serde_json::{Value, json};

/// A red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg==";
/// No sound at all.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

type Context = RequestContext<RoleServer>;

/// The server.
#[derive(Clone, Default)]
pub(crate) struct Fixture {
    tasks: TaskManager,
}

/// Serves it on a free loopback port, for as long as this process lives. Gives its address.
pub(crate) async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let site = Site::new(&address, &[]).unwrap();
    let transport = transport::service(Fixture::default(), &site);
    let router = axum::Router::new().route_service("/mcp", transport);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("{address}/mcp")
}

/// The tools: their names and what they take.
fn tools() -> Vec<Tool> {
    let nothing = json!({"type": "object", "properties": {}});
    let named = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let seconds = json!({"type": "object", "properties": {"seconds": {"type": "number"}}});
    let region = json!({
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    });
    let given = |name: &str| match name {
        "greet" => named.clone(),
        "slow_compute" => seconds.clone(),
        "where" => region.clone(),
        "json_schema_2020_12_tool" => every_keyword(),
        _ => nothing.clone(),
    };
    let names = [
        "test_simple_text",
        "test_image_content",
        "test_audio_content",
        "test_embedded_resource",
        "test_multiple_content_types",
        "test_error_handling",
        "test_tool_with_progress",
        "test_missing_capability",
        "test_streaming_elicitation",
        "test_logging_tool",
        "json_schema_2020_12_tool",
        "where",
        "greet",
        "slow_compute",
        "failing_job",
        "protocol_error_job",
        "confirm_delete",
        "multi_input",
    ];
    let tool = |name| Tool::new(name, "For the conformance suite.", object(given(name)));
    names.into_iter().map(tool).collect()
}

/// A schema with the keywords whose survival is looked at.
fn every_keyword() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

impl Fixture {
    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &Context,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let client = context.client_capabilities().unwrap_or_default();
        let text = |text: &str| vec![block(json!({"type": "text", "text": text}))];
        let content = match &*request.name {
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => vec![image()],
            "test_audio_content" => {
                let audio = json!({"type": "audio", "data": WAV, "mimeType": "audio/wav"});
                vec![block(audio)]
            }
            "test_embedded_resource" => vec![resource(
                "test://embedded-resource",
                "text/plain",
                "This is an embedded resource content.",
            )],
            "test_multiple_content_types" => {
                let mixed = r#"{"test":"data","value":123}"#;
                let mixed = resource("test://mixed-content-resource", "application/json", mixed);
                [text("Multiple content types test:"), vec![image(), mixed]].concat()
            }
            "test_error_handling" => {
                let why = "This tool intentionally returns an error for testing";
                return Ok(CallToolResult::error(text(why)).into());
            }
            "test_tool_with_progress" => {
                progress(context).await;
                text("Done.")
            }
            "test_missing_capability" if client.sampling.is_none() => {
                let needed = serde_json::from_value(json!({"sampling": {}})).unwrap();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            "greet" => {
                let name = arguments.get("name").and_then(Value::as_str);
                text(&format!("Hello, {}!", name.unwrap_or("nobody")))
            }
            job @ ("slow_compute" | "failing_job" | "protocol_error_job" | "confirm_delete"
            | "multi_input") => {
                let seconds = arguments.get("seconds").and_then(Value::as_f64);
                return self.job(job, seconds.unwrap_or(0.2), &client);
            }
            name if tools().iter().any(|tool| tool.name == name) => text("Done."),
            name => {
                let why = format!("there is no tool `{name}`");
                return Err(ErrorData::invalid_params(why, None));
            }
        };
        Ok(CallToolResult::success(content).into())
    }

    /// Something that takes its time: a task where the client knows tasks.
    fn job(
        &self,
        job: &str,
        seconds: f64,
        client: &ClientCapabilities,
    ) -> Result<CallToolResponse, ErrorData> {
        if !client.supports_tasks() {
            if job == "failing_job" {
                let needed = ClientCapabilities::builder().enable_tasks().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            return Ok(CallToolResult::success(vec![ContentBlock::text("Done.")]).into());
        }
        let job = job.to_owned();
        let task = self.tasks.spawn(TaskOptions::default(), |context| {
            Box::pin(async move { run(&job, seconds, &context).await })
        });
        Ok(CreateTaskResult::new(task).into())
    }
}

async fn run(job: &str, seconds: f64, context: &TaskContext) -> Result<CallToolResult, TaskExit> {
    let done = || CallToolResult::success(vec![ContentBlock::text("Done.")]);
    match job {
        "failing_job" => {
            let why = ContentBlock::text("It failed, as it always does.");
            Ok(CallToolResult::error(vec![why]))
        }
        "protocol_error_job" => Err(TaskExit::Error(ErrorData::internal_error("broken", None))),
        "confirm_delete" => context
            .request_input("sure", question())
            .await
            .map(|_| done()),
        "multi_input" => {
            let one = context.request_input("one", question());
            let other = context.request_input("other", question());
            tokio::try_join!(one, other).map(|_| done())
        }
        _ => {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => Ok(done()),
                () = context.cancelled() => Err(TaskExit::Cancelled),
            }
        }
    }
}

fn question() -> InputRequest {
    let question = json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": "Are you sure?",
            "requestedSchema": {"type": "object", "properties": {"confirm": {"type": "boolean"}}},
        },
    });
    serde_json::from_value(question).unwrap()
}

async fn progress(context: &Context) {
    for step in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, step).with_total(100.0);
            context.peer.notify_progress(progress).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn image() -> ContentBlock {
    block(json!({"type": "image", "data": PNG, "mimeType": "image/png"}))
}

fn resource(uri: &str, media_type: &str, text: &str) -> ContentBlock {
    let resource = json!({"uri": uri, "mimeType": media_type, "text": text});
    block(json!({"type": "resource", "resource": resource}))
}

fn block(block: Value) -> ContentBlock {
    serde_json::from_value(block).unwrap()
}

fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(object) => Arc::new(object),
        other => panic!("no object: {other}"),
    }
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("fixture", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, &context).await
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: Context,
    ) -> Result<GetTaskResult, ErrorData> {
        self.tasks
            .get_task(&request.task_id)
            .map(GetTaskResult::new)
    }

    async fn update_task(&self, request: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks
            .update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(&self, request: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

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
