//! An API nobody has told us about: its method says what it does, if it keeps to HTTP, and its path may say otherwise.

use super::{Effect, Found, Request};

pub(super) fn judge(request: &Request<'_>) -> Found {
    let found = by_method(&request.method);
    if found.0 != Effect::Read {
        return found;
    }
    let action = request.target.action();
    if !request.is("GET") {
        return found;
    }
    let acts = |word: &str| {
        ACTIONS.iter().any(|action| {
            word == *action
                || word
                    .strip_prefix(action)
                    .is_some_and(|rest| rest.starts_with(['-', '_', '.']))
        })
    };
    let asks_to_act = request.target.query.iter().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        matches!(
            name.as_str(),
            "action" | "cmd" | "command" | "exec" | "operation" | "op" | "do" | "method"
        ) && acts(&value.to_ascii_lowercase())
            || matches!(name.as_str(), "cmd" | "command" | "exec")
    });
    if acts(&action) || asks_to_act {
        return Found(
            Effect::Unknown,
            "its path names an action, and not every API keeps those out of GET",
        );
    }
    let leads_to_secrets = |part: &str| HOLDERS.contains(&part.to_ascii_lowercase().as_str());
    if SECRETS.contains(&action.as_str())
        || request.target.segments().into_iter().any(leads_to_secrets)
    {
        return Found(Effect::Secret, "its path names credentials");
    }
    found
}

const ACTIONS: &[&str] = &[
    "delete",
    "remove",
    "destroy",
    "drop",
    "purge",
    "reset",
    "restart",
    "reboot",
    "stop",
    "start",
    "shutdown",
    "run",
    "exec",
    "execute",
    "invoke",
    "trigger",
    "build",
    "send",
    "approve",
    "reject",
    "cancel",
    "logout",
    "signout",
    "unsubscribe",
    "subscribe",
    "enable",
    "disable",
    "create",
    "update",
    "add",
    "set",
    "write",
    "deploy",
    "rollback",
    "flush",
    "clear",
    "kill",
    "pause",
    "resume",
    "confirm",
    "activate",
    "deactivate",
    "revoke",
    "rotate",
    "regenerate",
    "transfer",
    "pay",
    "publish",
    "import",
    "proxy",
    "eval",
    "shell",
    "save",
    "edit",
    "upload",
    "push",
    "sync",
    "refresh",
    "reload",
];
const SECRETS: &[&str] = &[
    "token",
    "tokens",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "password",
    "passwords",
    "apikey",
    "apikeys",
    "api-key",
    "api-keys",
    "api_keys",
    "keys",
    "private-key",
    "privatekey",
    "connectionstring",
    "connectionstrings",
    "connection-strings",
    "env",
    ".env",
    "environment",
    "heapdump",
    "configprops",
    "client_secrets",
    "access_tokens",
    "access-tokens",
    ".git-credentials",
    "id_rsa",
    "kubeconfig",
    "admin_api_keys",
];

/// Folders of which every part is a credential, or holds some.
const HOLDERS: &[&str] = &[
    "secret",
    "secrets",
    "credentials",
    "passwords",
    "private-keys",
    "access-tokens",
    "access_tokens",
    ".git",
    ".ssh",
    ".aws",
    ".kube",
    ".docker",
];

/// What a method does by its definition.
pub(super) fn by_method(method: &str) -> Found {
    match method {
        "GET" | "HEAD" | "OPTIONS" | "PROPFIND" => Found(Effect::Read, "its method only looks"),
        "POST" | "PUT" | "PATCH" | "MERGE" | "MOVE" | "COPY" | "MKCOL" | "PROPPATCH" | "LOCK"
        | "UNLOCK" => Found(Effect::Write, "its method changes something"),
        "DELETE" | "PURGE" => Found(Effect::Destructive, "its method removes something"),
        _ => Found(
            Effect::Unknown,
            "its method is not one whose effect is known",
        ),
    }
}
