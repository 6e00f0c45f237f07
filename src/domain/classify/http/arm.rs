//! Azure Resource Manager: GET reads, PUT and PATCH change, DELETE removes, and a POST is an action, whose name is the
//! last segment of its path. What an action does is a list; one that is not on it is unknown, whatever it is called.

use super::{Effect, Facts, Family, Found, Inner, Request, facts, inner, json::Json};

pub(super) fn judge(request: &Request<'_>, depth: usize) -> Facts {
    let is_batch = request.is("POST")
        && matches!(request.target.segments().as_slice(), [only] if only.eq_ignore_ascii_case("batch"));
    if is_batch {
        return match batch(request) {
            Some(calls) if depth == 0 => inner(request, Family::Arm, &calls),
            _ => Facts::unknown("a batch whose calls cannot be read"),
        };
    }
    facts(request, one(request))
}

/// The calls of a batch; `None` if any cannot be read.
fn batch(request: &Request<'_>) -> Option<Vec<Inner>> {
    let body = Json::read(request.body_text()?)?;
    body.get("requests")?
        .list()?
        .iter()
        .map(|call| Inner::read(call, str::to_owned))
        .collect()
}

fn one(request: &Request<'_>) -> Found {
    let path: Vec<String> = request
        .target
        .path
        .iter()
        .map(|segment| segment.to_ascii_lowercase())
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match request.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => looked_at(&path),
        "DELETE" => Found(Effect::Destructive, "it removes a resource"),
        "PUT" | "PATCH" if path.contains(&"deployments") => deployed(request),
        "PUT" | "PATCH" => Found(Effect::Write, "it creates or changes a resource"),
        "POST" => action(&path),
        _ => Found(
            Effect::Unknown,
            "Azure Resource Manager knows no such method",
        ),
    }
}

/// Resources whose very content is a credential, and paths that lead through to something else.
fn looked_at(path: &[&str]) -> Found {
    let through = ["hostruntime", "extensions", "proxies", "proxy"];
    let is_app =
        path.contains(&"microsoft.web") && path.iter().any(|part| through[..2].contains(part));
    if is_app || path.iter().any(|part| through[2..].contains(part)) {
        return Found(
            Effect::Unknown,
            "it reaches through to what runs in the resource",
        );
    }
    let leads_over = |kind: &str, part: &str| path.contains(&kind) && path.contains(&part);
    let is_secret = matches!(path, [.., "sharedkey" | "publishxml"])
        || leads_over("expressroutecircuits", "authorizations")
        || leads_over("expressrouteports", "authorizations")
        || leads_over("microsoft.devtestlab", "secrets")
        || leads_over("microsoft.hdinsight", "configurations")
        || is_list_of_settings(path)
        || path
            .last()
            .is_some_and(|last| shows_credential(last) && path.contains(&"providers"));
    if is_secret {
        Found(Effect::Secret, "it shows a credential")
    } else {
        Found(Effect::Read, "it only looks at a resource")
    }
}

fn deployed(request: &Request<'_>) -> Found {
    let body = request.body_text().and_then(Json::read);
    let mode = body
        .as_ref()
        .and_then(|body| body.get("properties"))
        .and_then(|properties| properties.get("mode"));
    match (request.body, &body, mode.and_then(Json::text)) {
        (Some(_), None, _) => Found(Effect::Unknown, "its body cannot be read"),
        (_, _, Some(mode)) if !mode.eq_ignore_ascii_case("incremental") => Found(
            Effect::Destructive,
            "this mode of deployment removes what the template lacks",
        ),
        _ => Found(Effect::Write, "it deploys"),
    }
}

fn action(path: &[&str]) -> Found {
    let Some(last) = path.last() else {
        return Found(Effect::Unknown, "it names no action");
    };
    if shows_credential(last) || is_list_of_settings(path) || SECRETS.contains(last) {
        return Found(Effect::Secret, "this action shows a credential");
    }
    if READS.contains(last) {
        return Found(Effect::Read, "this action only evaluates");
    }
    if matches!(
        path,
        [
            ..,
            "microsoft.resourcegraph",
            "resources" | "resourceshistory"
        ]
    ) {
        return Found(Effect::Read, "it is a query");
    }
    if REMOVES.contains(last) {
        return Found(
            Effect::Destructive,
            "this action stops or removes something",
        );
    }
    if CHANGES.contains(last) || last.starts_with("regenerate") {
        return Found(Effect::Write, "this action changes something");
    }
    Found(Effect::Unknown, "it is an action nobody has reviewed")
}

/// `listKeys` and its kin.
pub(super) fn shows_credential(action: &str) -> bool {
    let what = action
        .strip_prefix("list")
        .or_else(|| action.strip_prefix("get"));
    what.is_some_and(|what| {
        [
            "key",
            "keys",
            "secret",
            "secrets",
            "credential",
            "credentials",
            "connectionstring",
            "connectionstrings",
            "sas",
            "token",
            "tokens",
            "password",
            "passwords",
            "passphrase",
            "passphrases",
            "sasuri",
            "sasurl",
            "callbackurl",
            "kubeconfig",
        ]
        .iter()
        .any(|end| what.ends_with(end))
            || what.contains("key")
            || what.contains("secret")
            || what.contains("credential")
    })
}

/// `…/config/appsettings/list`.
fn is_list_of_settings(path: &[&str]) -> bool {
    matches!(
        path,
        [.., "config", _, "list"]
            | [
                ..,
                "appsettings" | "functionappsettings" | "connectionstrings",
                "list"
            ]
    )
}

const SECRETS: &[&str] = &[
    "sharedkeys",
    "publishxml",
    "retrievebootdiagnosticsdata",
    "listcontainersas",
    "listvalue",
    "listgatewaysettings",
    "listlogsasurl",
    "vpndeviceconfigurationscript",
    "getvpnprofilepackageurl",
    "getfullurl",
    "getdeliveryattributes",
    "getauthtoken",
    "authtoken",
    "listchannelwithkeys",
    "createserviceproviderconnectionstring",
    "decrypt",
    "retrieveregistrationtoken",
    "listpolicypropertieswithsecrets",
    "getpolicypropertieswithsecrets",
    "listauthkeys",
    "generateaccesstoken",
    "listconfigurations",
    "listfunctionappsettings",
    "listappsettings",
    "getuploadurl",
    "listsourceuploadurl",
    "createtoken",
    "generatetoken",
    "getaccess",
    "listaccountsas",
    "listservicesas",
];
const READS: &[&str] = &[
    "whatif",
    "validate",
    "checknameavailability",
    "exporttemplate",
    "query",
    "forecast",
    "queryresults",
    "summarize",
    "checkresourcename",
    "checkpolicycompliance",
    "checkzonepeers",
    "checkdomainavailability",
    "checkquotaavailability",
    "checkfilepathavailability",
    "checkipaddressavailability",
    "checktrafficmanagernameavailability",
    "checkfrontdoornameavailability",
    "checkdnsavailability",
    "checkserviceprovideravailability",
    "calculatetemplatehash",
    "validatemoveresources",
    "validatemove",
    "getbgppeerstatus",
    "getlearnedroutes",
    "getadvertisedroutes",
    "effectiveroutetable",
    "effectivenetworksecuritygroups",
    "backendhealth",
    "nexthop",
    "ipflowverify",
    "securitygroupview",
    "topology",
    "connectivitycheck",
    "queryflowlogstatus",
    "querystatus",
    "querytroubleshootresult",
    "supportedvpndevices",
    "listskus",
    "listusages",
    "listassociatedresources",
    "listassociatedresourcesforclusters",
    "advertisedroutes",
    "learnedroutes",
    "ddosprotectionstatus",
    "listavailableskus",
    "getentities",
    "diagnoseaccess",
    "pricesheet",
    "usage",
    "usages",
    "search",
    "listbuilduploadstatus",
    "queryactivityruns",
    "querypipelineruns",
    "querytriggerruns",
    "getqueuestatus",
    "getstatus",
    "listruns",
    "checkaccess",
    "listpermissions",
];
const REMOVES: &[&str] = &[
    "delete",
    "deallocate",
    "poweroff",
    "stop",
    "purge",
    "deleteinstances",
    "undeploy",
    "terminate",
    "removenode",
    "deletenode",
    "deletemachines",
    "forcereboot",
    "flush",
    "cleanup",
    "hibernate",
    "pause",
    "suspend",
    "deactivate",
    "disconnect",
    "revoke",
    "revokesas",
    "endgetaccess",
    "cancel",
    "abort",
    "remove",
    "detach",
    "unregister",
    "reimage",
    "reimageall",
    "reset",
];
const CHANGES: &[&str] = &[
    "start",
    "restart",
    "capture",
    "generalize",
    "redeploy",
    "reapply",
    "performmaintenance",
    "convert",
    "add",
    "addtags",
    "rotateclustercertificates",
    "rotateserviceaccountsigningkeys",
    "generateuri",
    "failover",
    "runcommand",
    "register",
    "enable",
    "disable",
    "resume",
    "swap",
    "slotsswap",
    "applyslotconfig",
    "migrate",
    "sync",
    "syncfunctiontriggers",
    "upgrade",
    "scale",
    "resize",
    "move",
    "moveresources",
    "import",
    "importimage",
    "export",
    "exportdata",
    "begingetaccess",
    "restore",
    "backup",
    "install",
    "installpatches",
    "assesspatches",
    "simulateeviction",
    "approve",
    "reject",
    "verify",
    "generateverificationcode",
    "activate",
    "refresh",
    "renew",
    "rename",
    "clone",
    "copy",
    "run",
    "execute",
    "schedulerun",
    "trigger",
    "createorupdate",
    "update",
    "replace",
    "refreshpermissions",
    "elevateaccess",
    "acceptownership",
    "publish",
    "promote",
    "undelete",
    "recover",
    "recycle",
    "attach",
];
