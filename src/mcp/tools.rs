//! The tools: what they are for, what they take and give, and what they are said to do.
//!
//! What is said of a tool is a hint for the agent's client and true; nothing relies on it. `query` and `execute` are two
//! because one tool for both could not be described truly.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, LazyLock},
};

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::transform_subschemas,
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{connection::ConnectionName, id::RequestId},
    door::Connections,
    gateway::{Description, Outcome},
};

/// The longest a call waits, in seconds: clients give up after a minute.
pub(super) const LONGEST_WAIT: u64 = 50;

/// Every tool, in the order they are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    ListConnections,
    Describe,
    Query,
    Execute,
    RunCommand,
    HttpRequest,
    GetResult,
}

impl Name {
    const ALL: [Self; 7] = [
        Self::ListConnections,
        Self::Describe,
        Self::Query,
        Self::Execute,
        Self::RunCommand,
        Self::HttpRequest,
        Self::GetResult,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::ListConnections => "list_connections",
            Self::Describe => "describe",
            Self::Query => "query",
            Self::Execute => "execute",
            Self::RunCommand => "run_command",
            Self::HttpRequest => "http_request",
            Self::GetResult => "get_result",
        }
    }

    /// The tool a client names.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    fn tool(self) -> Tool {
        let reads = ToolAnnotations::new().read_only(true).open_world(false);
        let changes = ToolAnnotations::new()
            .read_only(false)
            .destructive(true)
            .idempotent(false);
        let (title, description, input, output, annotations) = match self {
            Self::ListConnections => (
                "List connections",
                "Lists the connections you may use here, with their kind, the tool each is used with and how much you may take \
                 from it. Start with this.",
                input::<Nothing>(),
                output::<Connections>(),
                reads.idempotent(true),
            ),
            Self::Describe => (
                "Describe a connection",
                "Lists the tables and views of a connection with their columns and types. Columns marked `masked` are \
                 shown masked in results. Use it before you write SQL; a connection that takes commands or HTTP calls has no \
                 tables, and `usage` says which tool it is used with.",
                input::<DescribeCall>(),
                output::<Description>(),
                reads.idempotent(true),
            ),
            Self::Query => (
                "Read with SQL",
                "Runs one SQL statement that only reads, and returns its rows. Personal data and secrets come back \
                 masked. A statement that is not proven to only read is refused and not run.",
                input::<SqlCall>(),
                output::<Outcome>(),
                reads.idempotent(true),
            ),
            Self::Execute => (
                "Change with SQL",
                "Runs one SQL statement that may change data or the schema, as policy allows. A person may have to \
                 approve it first: then the answer is `pending_approval`, nothing has run yet, and `get_result` \
                 tells how it ended. Give a `reason`, approvers see it. Use `query` for what only reads.",
                input::<SqlCall>(),
                output::<Outcome>(),
                changes.open_world(false),
            ),
            Self::RunCommand => (
                "Run a command",
                "Runs one program with its arguments on a connection of kind `command`, as policy allows: `kubectl`, \
                 `az` and the like, with credentials you never see. There is no shell: no pipes, no redirection, no \
                 variables. What changes something may need a person's approval first, as with `execute`.",
                input::<CommandCall>(),
                output::<Outcome>(),
                changes.open_world(true),
            ),
            Self::HttpRequest => (
                "Call an API",
                "Makes one HTTP call on a connection of kind `http`, as policy allows, and returns the status, header fields \
                 and body that the API answers. A connection leads to one API; you give the path below it, and the \
                 credential is the connection's own: send none. Personal data and secrets come back masked, and \
                 redirects are not followed. What changes or reveals something may need a person's approval first, as with \
                 `execute`.",
                input::<HttpCall>(),
                output::<Outcome>(),
                changes.open_world(true),
            ),
            Self::GetResult => (
                "Get a result",
                "Tells how a request stands that was held for approval or still ran, and gives its result once there \
                 is one. It runs nothing and may be called as often as you like.",
                input::<GetResultCall>(),
                output::<Outcome>(),
                reads.idempotent(true),
            ),
        };
        Tool::new(self.as_str(), description, input)
            .with_title(title)
            .with_raw_output_schema(output)
            .with_annotations(annotations)
    }
}

/// All of them, as they are listed.
pub(super) fn all() -> &'static [Tool] {
    static TOOLS: LazyLock<Vec<Tool>> =
        LazyLock::new(|| Name::ALL.into_iter().map(Name::tool).collect());
    &TOOLS
}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Arguments of `describe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribeCall {
    /// The name of a connection, from `list_connections`.
    #[schemars(extend("examples" = ["crm"]))]
    pub(super) connection: ConnectionName,
    /// Only these tables and views, as `name` or `schema.name`; all if left out.
    #[serde(default)]
    #[schemars(extend("examples" = [["customers", "public.orders"]]))]
    pub(super) relations: BTreeSet<String>,
}

/// Arguments of `query` and `execute`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlCall {
    /// The name of a connection, from `list_connections`.
    #[schemars(extend("examples" = ["crm"]))]
    pub(super) connection: ConnectionName,
    /// One statement, in the dialect of the connection.
    #[schemars(extend("examples" = ["SELECT id, city FROM customers WHERE id = $1"]))]
    pub(super) sql: String,
    /// Its parameters, `$1` first (`?1` in SQLite and MySQL, `@P1` in SQL Server).
    #[serde(default)]
    #[schemars(with = "Vec<Value>", extend("examples" = [[7]]))]
    pub(super) params: Vec<Box<RawValue>>,
    /// Why, in a sentence; approvers see it.
    #[serde(default)]
    #[schemars(extend("examples" = ["The customer asked to be forgotten, ticket 4711."]))]
    pub(super) reason: Option<String>,
    /// At most this many rows, below the connection's budget.
    #[serde(default)]
    pub(super) max_rows: Option<u64>,
    /// How many seconds to wait for an approval, where one is needed: 50 at most, and if left out.
    #[serde(default)]
    #[schemars(range(max = 50))]
    pub(super) wait_seconds: Option<u64>,
}

/// Arguments of `run_command`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommandCall {
    /// The name of a connection of kind `command`, from `list_connections`.
    #[schemars(extend("examples" = ["cluster"]))]
    pub(super) connection: ConnectionName,
    /// The program and its arguments, each as one string.
    #[schemars(extend("examples" = [["kubectl", "get", "pods", "--namespace", "shop"]]))]
    pub(super) argv: Vec<String>,
    /// What the program can read from its standard input.
    #[serde(default)]
    pub(super) stdin: Option<String>,
    /// Why, in a sentence; approvers see it.
    #[serde(default)]
    #[schemars(extend("examples" = ["The rollout hangs, incident 4711."]))]
    pub(super) reason: Option<String>,
    /// How many seconds to wait for an approval, where one is needed: 50 at most, and if left out.
    #[serde(default)]
    #[schemars(range(max = 50))]
    pub(super) wait_seconds: Option<u64>,
}

/// Arguments of `http_request`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpCall {
    /// The name of a connection of kind `http`, from `list_connections`.
    #[schemars(extend("examples" = ["cluster"]))]
    pub(super) connection: ConnectionName,
    /// The method.
    #[schemars(extend("examples" = ["GET", "POST"]))]
    pub(super) method: String,
    /// Path and query below the connection's own address, encoded as in a URL. It begins with `/` and names no host.
    #[schemars(extend("examples" = ["/api/v1/namespaces/shop/pods?limit=20"]))]
    pub(super) path: String,
    /// Header fields that mean something to the API, by name. Credentials among them are dropped.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>", extend("examples" = [{"Content-Type": "application/json"}]))]
    pub(super) headers: Fields,
    /// The body, as text: JSON is written out. A body needs its `Content-Type` among the `headers`.
    #[serde(default)]
    #[schemars(extend("examples" = ["{\"replicas\": 3}"]))]
    pub(super) body: Option<String>,
    /// Why, in a sentence; approvers see it.
    #[serde(default)]
    #[schemars(extend("examples" = ["The shop needs another replica, incident 4711."]))]
    pub(super) reason: Option<String>,
    /// How many seconds to wait for an approval, where one is needed: 50 at most, and if left out.
    #[serde(default)]
    #[schemars(range(max = 50))]
    pub(super) wait_seconds: Option<u64>,
}

/// Header fields as they were written. A name that is there twice stays so: whether it may be is for the call's judge.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of header fields, each with one text")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = object.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Arguments of `get_result`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetResultCall {
    /// The `request_id` of an earlier answer.
    pub(super) request_id: RequestId,
    /// How many seconds to wait for it to end: 50 at most, and if left out.
    #[serde(default)]
    #[schemars(range(max = 50))]
    pub(super) wait_seconds: Option<u64>,
}

fn without_formats(schema: &mut Schema) {
    if schema
        .get("type")
        .is_some_and(|kind| kind.to_string().contains("integer"))
    {
        schema.remove("format");
    }
    transform_subschemas(&mut without_formats, schema);
}

fn input<T: JsonSchema>() -> Arc<JsonObject> {
    schema::<T>(SchemaSettings::draft2020_12().into_generator())
}

fn output<T: JsonSchema>() -> Arc<JsonObject> {
    schema::<T>(
        SchemaSettings::draft2020_12()
            .for_serialize()
            .into_generator(),
    )
}

/// The schema alone: what its type is called and for says the tool itself. Formats that only Rust knows make clients complain.
fn schema<T: JsonSchema>(generator: SchemaGenerator) -> Arc<JsonObject> {
    let mut schema = generator.into_root_schema_for::<T>();
    for said in ["title", "description"] {
        schema.remove(said);
    }
    without_formats(&mut schema);
    match schema.to_value() {
        Value::Object(schema) => Arc::new(schema),
        _ => Arc::default(),
    }
}
