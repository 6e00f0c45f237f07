//! Kubernetes' API: the path says the resource and its subresource, the method the verb.

use super::{Effect, Found, Request, Target, json::Json};

/// Whether a path is one of the API server's.
pub(super) fn is_one(target: &Target) -> bool {
    let segments = target.segments();
    match segments.as_slice() {
        ["api", "v1", rest @ ..] => {
            Resource::of(rest).is_some_and(|resource| is_core(resource.kind))
        }
        ["apis", group, version, ..] => {
            (group.contains('.') || is_old_group(group)) && version.starts_with('v')
        }
        _ => false,
    }
}

fn is_old_group(group: &str) -> bool {
    matches!(
        group,
        "apps" | "batch" | "autoscaling" | "policy" | "extensions"
    )
}

fn is_core(kind: &str) -> bool {
    matches!(
        kind,
        "pods"
            | "services"
            | "secrets"
            | "configmaps"
            | "namespaces"
            | "nodes"
            | "events"
            | "endpoints"
            | "serviceaccounts"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "replicationcontrollers"
            | "resourcequotas"
            | "limitranges"
            | "podtemplates"
            | "componentstatuses"
            | "proxy"
            | "bindings"
    )
}

struct Resource<'a> {
    kind: &'a str,
    name: Option<&'a str>,
    sub: Option<&'a str>,
    deeper: bool,
}

impl<'a> Resource<'a> {
    /// Of what follows the version.
    fn of(segments: &[&'a str]) -> Option<Self> {
        let segments = segments.strip_prefix(&["watch"]).unwrap_or(segments);
        let rest = match segments {
            // A namespace's own subresources come before the kinds in it.
            ["namespaces", _, "status" | "finalize"] => segments,
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            _ => segments,
        };
        Some(Self {
            kind: rest.first()?,
            name: rest.get(1).copied(),
            sub: rest.get(2).copied(),
            deeper: rest.len() > 3,
        })
    }
}

pub(super) fn judge(request: &Request<'_>) -> Found {
    let segments = request.target.segments();
    let rest = match segments.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        [
            "healthz" | "livez" | "readyz" | "version" | "openapi" | "metrics" | "api" | "apis",
            ..,
        ]
        | [] if request.looks() => {
            return Found(Effect::Read, "it asks the API server about itself");
        }
        _ => return Found(Effect::Unknown, "it is no resource of Kubernetes"),
    };
    let Some(resource) = Resource::of(rest) else {
        return if request.looks() {
            Found(Effect::Read, "it asks which resources there are")
        } else {
            Found(Effect::Unknown, "it is no resource of Kubernetes")
        };
    };
    let kind = resource.kind.to_ascii_lowercase();
    let sub = resource.sub.map(str::to_ascii_lowercase);
    match sub.as_deref() {
        Some("exec" | "attach" | "portforward") => {
            return Found(
                Effect::Write,
                "it runs something in a container, or talks to it, by whatever method",
            );
        }
        Some("proxy") => {
            return Found(
                Effect::Unknown,
                "it reaches whatever listens in the cluster",
            );
        }
        _ if resource.deeper && !request.is("GET") => {
            return Found(Effect::Unknown, "it is no resource of Kubernetes");
        }
        _ => {}
    }
    // The old form, /api/v1/proxy/….
    if kind == "proxy" {
        return Found(
            Effect::Unknown,
            "it reaches whatever listens in the cluster",
        );
    }
    if request.header("upgrade").is_some() {
        return Found(
            Effect::Unknown,
            "it turns into another protocol, whose content is not seen",
        );
    }
    let is_secret = kind == "secrets";
    if request.looks() {
        return if is_secret {
            Found(
                Effect::Secret,
                "it shows the values of secrets, in whatever form it asks for them",
            )
        } else {
            Found(Effect::Read, "it only looks at resources")
        };
    }
    if !matches!(request.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE") {
        return Found(Effect::Unknown, "Kubernetes knows no such method");
    }
    if sub.as_deref() == Some("token") || kind == "tokenrequests" {
        return Found(Effect::Secret, "it makes and shows a token");
    }
    if request.is("POST")
        && resource.name.is_none()
        && (kind.ends_with("accessreviews")
            || kind.ends_with("rulesreviews")
            || matches!(kind.as_str(), "tokenreviews" | "selfsubjectreviews"))
    {
        return Found(Effect::Read, "a review answers a question and is not kept");
    }
    // Its name and its value are read exactly so, and only then is nothing kept.
    if request.target.parameter("dryRun") == Some("All") && body_keeps_dry_run(request) {
        return if is_secret {
            Found(
                Effect::Secret,
                "a dry run changes nothing, and shows the secret",
            )
        } else {
            Found(Effect::Read, "a dry run changes nothing")
        };
    }
    if request.is("DELETE") || sub.as_deref() == Some("eviction") {
        return Found(Effect::Destructive, "it removes resources");
    }
    if scales_to_zero(request) {
        return Found(Effect::Destructive, "it scales to nothing");
    }
    Found(Effect::Write, "it changes resources")
}

/// DELETE takes its options from its body instead, where it has one.
fn body_keeps_dry_run(request: &Request<'_>) -> bool {
    if !request.is("DELETE") || request.body.is_none() {
        return true;
    }
    let body = request.body_text().and_then(Json::read);
    body.as_ref()
        .and_then(|body| body.get("dryRun"))
        .and_then(Json::list)
        .is_some_and(|list| list == [Json::Text("All".into())])
}

fn scales_to_zero(request: &Request<'_>) -> bool {
    let body = request.body_text().and_then(Json::read);
    let replicas = body
        .as_ref()
        .and_then(|body| body.get("spec"))
        .and_then(|spec| spec.get("replicas"));
    matches!(replicas, Some(Json::Other(number)) if number == "0")
}
