//! HTTP calls: what one would do, by its method, path, query, headers and body.
//!
//! A call is first brought into one form ([`target`]): what servers could read in different ways is refused, before
//! anything is concluded from it. Then the family of API it belongs to says what it does.

mod arm;
mod azure;
mod generic;
mod graphql;
mod json;
mod kubernetes;
mod target;

use self::{
    json::Json,
    target::{NotCanonical, Target},
};
use super::{Effect, Facts, Object, ObjectAccess};

use schemars::JsonSchema;

pub use target::is_microsofts;

/// Longer bodies are not judged, in bytes.
pub const LONGEST_BODY: usize = 4 << 20;

/// One HTTP call, as it would be sent.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// The method, as written.
    pub method: &'a str,
    /// The absolute URL.
    pub url: &'a str,
    /// Header fields, in order, each as often as it is sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, if there is one.
    pub body: Option<&'a [u8]>,
}

/// Whose rules a call is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Azure Resource Manager.
    #[serde(rename = "azure")]
    Arm,
    /// Microsoft Graph.
    #[serde(rename = "graph")]
    MicrosoftGraph,
    /// Kubernetes' API server.
    Kubernetes,
    /// Azure Storage: blobs, files, queues, tables.
    Storage,
    /// Azure Key Vault and managed HSMs.
    KeyVault,
    /// Azure Cosmos DB's own API.
    Cosmos,
    /// Azure Service Bus and Event Hubs.
    ServiceBus,
    /// A model provider.
    Model,
    /// The metadata service of a cloud's machines.
    #[serde(skip)]
    Metadata,
    /// GraphQL.
    #[serde(rename = "graphql")]
    GraphQl,
    /// Anything else.
    Generic,
}

/// Judges one call by the family its host and path tell.
pub fn classify(call: &HttpCall<'_>) -> Facts {
    judged(call, None)
}

/// Judges one call by the family that is known to be behind its host.
pub fn classify_as(family: Family, call: &HttpCall<'_>) -> Facts {
    judged(call, Some(family))
}

/// The one form of a call's path and query: that of its URL that is judged, and the only one to be sent. Or why it has none,
/// as a half-sentence.
pub fn canonical(call: &HttpCall<'_>) -> Result<String, &'static str> {
    let NotCanonical(why) = match request(call).and_then(|_| Target::canonical(call.url)) {
        Ok(canonical) => return Ok(canonical),
        Err(why) => why,
    };
    Err(why)
}

fn judged(call: &HttpCall<'_>, family: Option<Family>) -> Facts {
    match request(call) {
        Err(NotCanonical(why)) => {
            Facts::unknown(format!("the call cannot be brought into one form: {why}"))
        }
        Ok(request) => judge(&request, family.unwrap_or_else(|| family_of(&request)), 0),
    }
}

/// A call in one form.
#[derive(Debug)]
struct Request<'a> {
    /// In upper case.
    method: String,
    target: Target,
    headers: &'a [(&'a str, &'a str)],
    body: Option<&'a [u8]>,
    /// Methods that a server may take instead of the one that is sent.
    overrides: Vec<String>,
}

impl Request<'_> {
    /// The value of a header field, by its name in lower case.
    fn header(&self, name: &str) -> Option<&str> {
        header(self.headers, name)
    }

    fn is(&self, method: &str) -> bool {
        self.method == method
    }

    fn looks(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    fn body_text(&self) -> Option<&str> {
        self.body.and_then(|body| std::str::from_utf8(body).ok())
    }
}

fn header<'a>(headers: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

/// Fields with which a caller asks a server to take another method.
const METHOD_OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
];
/// Fields with which a caller asks a server, or something before it, to take another path or host.
const PATH_OVERRIDES: &[&str] = &[
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-host",
];

fn request<'a>(call: &HttpCall<'a>) -> Result<Request<'a>, NotCanonical> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    if !is_token(call.method) {
        return Err(NotCanonical("its method is not a word"));
    }
    if call.body.is_some_and(|body| body.len() > LONGEST_BODY) {
        return Err(NotCanonical("its body is longer than 4 MiB"));
    }
    let target = Target::parse(call.url)?;
    let mut seen = Vec::new();
    for (name, value) in call.headers {
        if !is_token(name) || value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
            return Err(NotCanonical("a header field is malformed"));
        }
        let name = name.to_ascii_lowercase();
        if PATH_OVERRIDES.contains(&name.as_str())
            || name == "host" && !value.eq_ignore_ascii_case(&target.authority)
        {
            return Err(NotCanonical(
                "a header field names another host or path than the URL",
            ));
        }
        if seen.contains(&name)
            && !matches!(
                name.as_str(),
                "accept" | "cookie" | "via" | "impersonate-group"
            )
        {
            return Err(NotCanonical("a header field comes twice"));
        }
        seen.push(name);
    }
    let has = |name: &str| header(call.headers, name).is_some();
    if has("transfer-encoding") && has("content-length") {
        return Err(NotCanonical(
            "it gives its length in two ways, and what follows the first end could be another call",
        ));
    }
    let method = call.method.to_ascii_uppercase();
    let body = call.body.filter(|body| !body.is_empty());
    let announces = has("transfer-encoding")
        || header(call.headers, "content-length").is_some_and(|length| length.trim() != "0");
    if (body.is_some() || announces) && matches!(method.as_str(), "GET" | "HEAD") {
        return Err(NotCanonical("a call that only looks has a body"));
    }
    if has("content-encoding") && body.is_some() {
        return Err(NotCanonical("its body is compressed"));
    }
    let mut overrides: Vec<String> = METHOD_OVERRIDES
        .iter()
        .filter_map(|name| header(call.headers, name))
        .map(str::to_ascii_uppercase)
        .collect();
    overrides.extend(target.override_in_query());
    let is_form = header(call.headers, "content-type")
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("form"));
    if is_form && let Some(form) = body.and_then(|body| std::str::from_utf8(body).ok()) {
        overrides.extend(target::override_in(form)?);
    }
    Ok(Request {
        method,
        target,
        headers: call.headers,
        body,
        overrides,
    })
}

/// Where an API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Scheme, host and path, normalised and ending without a slash.
    pub url: String,
    /// In lower case, without a port.
    pub host: String,
    /// Whether what is sent there is encrypted.
    pub is_https: bool,
}

/// Where the API of this URL is; or why it is nowhere, as a half-sentence.
pub fn base(url: &str) -> Result<Base, &'static str> {
    let told = |NotCanonical(why)| why;
    let target = Target::parse(url).map_err(told)?;
    if url.contains('?') {
        return Err("its URL has a query");
    }
    let path = Target::canonical(url).map_err(told)?;
    let scheme = if target.is_https { "https" } else { "http" };
    Ok(Base {
        url: format!(
            "{scheme}://{}{}",
            target.authority,
            path.trim_end_matches('/')
        ),
        host: target.host,
        is_https: target.is_https,
    })
}

/// The family that a URL's host and path tell.
pub fn family(url: &str) -> Option<Family> {
    let call = HttpCall {
        method: "GET",
        url,
        headers: &[],
        body: None,
    };
    request(&call).ok().map(|request| family_of(&request))
}

fn family_of(request: &Request<'_>) -> Family {
    let target = &request.target;
    let host = target.host.as_str();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| host.ends_with(suffix));
    if matches!(
        host,
        "management.azure.com" | "management.usgovcloudapi.net" | "management.chinacloudapi.cn"
    ) {
        Family::Arm
    } else if matches!(
        host,
        "graph.microsoft.com" | "graph.microsoft.us" | "microsoftgraph.chinacloudapi.cn"
    ) {
        Family::MicrosoftGraph
    } else if ends(&[
        ".vault.azure.net",
        ".managedhsm.azure.net",
        ".vault.usgovcloudapi.net",
        ".vault.azure.cn",
    ]) {
        Family::KeyVault
    } else if ends(&[
        ".core.windows.net",
        ".core.usgovcloudapi.net",
        ".core.chinacloudapi.cn",
        ".storage.azure.net",
    ]) {
        Family::Storage
    } else if ends(&[
        ".documents.azure.com",
        ".documents.azure.us",
        ".documents.azure.cn",
    ]) {
        Family::Cosmos
    } else if ends(&[".servicebus.windows.net"]) {
        Family::ServiceBus
    } else if ends(&[
        ".openai.azure.com",
        ".cognitiveservices.azure.com",
        ".services.ai.azure.com",
    ]) || matches!(host, "api.openai.com" | "api.anthropic.com")
    {
        Family::Model
    } else if target.is_metadata_service() {
        Family::Metadata
    } else if graphql::is_one(request) {
        Family::GraphQl
    } else if kubernetes::is_one(target) {
        Family::Kubernetes
    } else {
        Family::Generic
    }
}

/// What was found out about a call: its effect, and why.
struct Found(Effect, &'static str);

fn judge(request: &Request<'_>, family: Family, depth: usize) -> Facts {
    let mut facts = match family {
        Family::Arm => arm::judge(request, depth),
        Family::GraphQl => facts(request, graphql::judge(request)),
        Family::Kubernetes => facts(request, kubernetes::judge(request)),
        Family::MicrosoftGraph => azure::microsoft_graph(request, depth),
        Family::Storage => facts(request, azure::storage(request)),
        Family::KeyVault => facts(request, azure::key_vault(request)),
        Family::Cosmos => facts(request, azure::cosmos(request)),
        Family::ServiceBus => facts(request, azure::service_bus(request)),
        Family::Model => facts(request, azure::model(request)),
        Family::Metadata => facts(
            request,
            Found(
                Effect::Secret,
                "a machine's metadata holds its tokens and its start-up data",
            ),
        ),
        Family::Generic => facts(request, generic::judge(request)),
    };
    // What only a metadata service asks for, under whatever name its address is called.
    let asks_metadata = [
        "metadata",
        "metadata-flavor",
        "x-aws-ec2-metadata-token",
        "x-aws-ec2-metadata-token-ttl-seconds",
    ]
    .iter()
    .any(|name| request.header(name).is_some());
    if asks_metadata && family != Family::Metadata {
        facts = facts.and(Facts::of(
            Effect::Secret,
            "metadata",
            "its headers ask for a machine's metadata, which holds its tokens",
        ));
    }
    for method in &request.overrides {
        // Whether the server takes it is its own affair: the call may be either.
        let other = generic::by_method(method);
        facts = facts.and(Facts::of(
            other.0.max(Effect::Write),
            method,
            "a field asks the server to take another method than the one sent",
        ));
    }
    if let Some(why) = goes_astray(request, family) {
        facts = facts.and(Facts::unknown(why));
    }
    facts
}

/// What makes even a call that only looks no read.
fn goes_astray(request: &Request<'_>, family: Family) -> Option<&'static str> {
    let target = &request.target;
    let carries_credential = [
        "authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "proxy-authorization",
    ]
    .iter()
    .any(|name| request.header(name).is_some());
    if target.imitates_microsoft() {
        return Some("its host looks like one of Azure's, and is another");
    }
    if !target.is_https
        && family != Family::Metadata
        && (carries_credential || family != Family::Generic)
    {
        return Some("it is not encrypted, so whoever listens has its credential");
    }
    let upgrades = request.header("upgrade").is_some();
    if upgrades && request.looks() && family != Family::Kubernetes {
        return Some("it turns into another protocol, whose content is not seen");
    }
    None
}

fn facts(request: &Request<'_>, Found(effect, why): Found) -> Facts {
    let kind = match request.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" | "PATCH" | "DELETE" => request.method.as_str(),
        _ => "other method",
    };
    let mut facts = Facts::of(effect, kind, why);
    let access = if effect.changes_something() {
        ObjectAccess::Write
    } else {
        ObjectAccess::Read
    };
    facts.objects.insert(Object {
        name: request.target.name(),
        access,
    });
    facts
}

/// A call of a batch.
struct Inner {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

impl Inner {
    /// Reads one, whatever case its names are in; `at` tells its address from what it says. `None`: servers could read it in
    /// two ways.
    fn read(call: &Json, at: impl Fn(&str) -> String) -> Option<Self> {
        let text = |names: &[&str]| call.one_of(names)??.text().map(str::to_owned);
        let headers = match call.get("headers") {
            None => Vec::new(),
            Some(Json::Object(fields)) => fields
                .iter()
                .map(|(name, value)| Some((name.clone(), value.text()?.to_owned())))
                .collect::<Option<_>>()?,
            Some(_) => return None,
        };
        let body = call.one_of(&["content", "body"])?.map(Json::to_string);
        Some(Self {
            method: text(&["httpMethod", "method"])?,
            url: at(&text(&["url", "relativeUrl"])?),
            headers,
            body: body.filter(|body| body != "null"),
        })
    }
}

/// The calls of a batch, each a call of its own to the same host.
fn inner(request: &Request<'_>, family: Family, calls: &[Inner]) -> Facts {
    let judged = calls.iter().map(|call| {
        let url = if call.url.starts_with("https://") {
            call.url.clone()
        } else {
            format!(
                "https://{}/{}",
                request.target.authority,
                call.url.trim_start_matches('/')
            )
        };
        let headers: Vec<(&str, &str)> = (call.headers.iter())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let call = HttpCall {
            method: &call.method,
            url: &url,
            headers: &headers,
            body: call.body.as_deref().map(str::as_bytes),
        };
        match self::request(&call) {
            Ok(inner) if inner.target.host == request.target.host => judge(&inner, family, 1),
            Ok(_) => Facts::unknown("a call in the batch is to another host"),
            Err(NotCanonical(why)) => Facts::unknown(format!(
                "a call in the batch cannot be brought into one form: {why}"
            )),
        }
    });
    judged
        .reduce(Facts::and)
        .unwrap_or_else(|| Facts::unknown("the batch is empty"))
}
