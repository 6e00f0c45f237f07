//! Documents to one policy: names are resolved, files merged, and whatever cannot mean what it says is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::json;

use super::{
    AgentRules, Api, ApproverGroup, ApproverGroupName, ApproverKind, Condition, ConnectionRules,
    Consequence, Endpoint, Host, Issuer, Policy, RecordRules, RecordedResults, Rule, RuleName, Who,
    document::{
        ApproverDocument, BudgetDocument, ConnectionDocument, EndpointDocument, IssuerDocument,
        MaskingSection, PolicyDocument, RecordDocument, RuleDocument, SshDocument, ThenDocument,
        WhoDocument, named,
    },
    problem::{Place, PolicyErrors, Problem, Problems, choices, quoted},
    reach,
    read::{At, FromNode, OneOrMore, Positive},
    units, yaml,
};
use crate::domain::{
    classify::http::Family,
    connection::{Budget, ConnectionKind, ConnectionName},
    masking::{ColumnRule, How, InPredicates, Masking, MaskingRules, Pattern},
    record::{Hash, hash_of},
};

/// More rules than anyone can reason about.
const MAX_RULES: usize = 1000;
/// Each pattern is one more pass over everything that comes back.
const MAX_MASKING_RULES: usize = 1000;
const DEFAULT_EXPIRY: Duration = Duration::from_secs(30 * 60);
const DEFAULT_MAX_RESULT: u64 = 4 << 20;

impl Policy {
    /// Reads a policy from one file, or from several that are merged in this order. All problems are reported.
    pub fn parse(files: &[(String, String)]) -> Result<Self, PolicyErrors> {
        if files.is_empty() {
            let how = "a policy is a YAML file, or a folder with .yaml or .yml files in it";
            let problem = Problem::of_file("policy", "there is no file", Some(how.into()));
            return Err(vec![problem].into());
        }
        let mut problems = Problems::of(files);
        let documents: Vec<Option<PolicyDocument>> = files
            .iter()
            .enumerate()
            .map(|(index, (_, text))| {
                let node = yaml::read(index, text, &mut problems)?;
                PolicyDocument::read(&node, &mut problems)
            })
            .collect();
        let compiler = Compiler {
            // Names may be defined where we could not read.
            all_is_read: documents.iter().all(Option::is_some),
            version: version(files),
            documents: documents.into_iter().flatten().collect(),
            problems,
        };
        compiler.policy()
    }

    /// As [`Policy::parse`], from bytes.
    pub fn from_bytes(files: Vec<(String, Vec<u8>)>) -> Result<Self, PolicyErrors> {
        let mut texts = Vec::with_capacity(files.len());
        let mut problems = Vec::new();
        for (name, bytes) in files {
            match String::from_utf8(bytes) {
                Ok(text) => texts.push((name, text)),
                Err(error) => {
                    problems.push(not_utf8(&name, error.as_bytes(), error.utf8_error()));
                }
            }
        }
        if problems.is_empty() {
            Self::parse(&texts)
        } else {
            Err(problems.into())
        }
    }
}

fn not_utf8(name: &str, bytes: &[u8], error: std::str::Utf8Error) -> Problem {
    let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
    let mut problem = Problem::of_file(
        name,
        format!("byte {} of this file is not UTF-8", valid.len() + 1),
        Some("save the file as UTF-8".into()),
    );
    problem.line = valid.matches('\n').count() + 1;
    problem.column = valid.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    problem
}

/// SHA-256 of the text; of several texts, over their list in order.
fn version(files: &[(String, String)]) -> Hash {
    match files {
        [(_, text)] => Hash::of(text.as_bytes()),
        _ => {
            let texts: Vec<&str> = files.iter().map(|(_, text)| text.as_str()).collect();
            hash_of("portcullis-policy-v1", &json!(texts))
        }
    }
}

struct Compiler<'a> {
    all_is_read: bool,
    version: Hash,
    documents: Vec<PolicyDocument>,
    problems: Problems<'a>,
}

/// What a name stands for; nothing, if its definition could not be read.
type Defined<K, V> = BTreeMap<K, Option<V>>;

impl Compiler<'_> {
    fn policy(mut self) -> Result<Policy, PolicyErrors> {
        let documents = std::mem::take(&mut self.documents);
        self.masking_bounds(&documents);
        let issuers = self.issuers(&documents);
        let approvers = self.approvers(&documents);
        let connections = self.connections(&documents);
        let rules = self.rules(&documents, &approvers, &connections);
        let masking_rules = self.masking(&documents);
        let record = self.record(&documents);
        let masking = self.compiled(&documents, &masking_rules);
        let masking_approvers = self.masking_approvers(&documents, &approvers);
        self.unused_approvers(&documents, &masking_rules);
        if self.all_is_read {
            reach::check(&rules, &connections, &mut self.problems);
        }
        let policy = Policy {
            version: self.version,
            issuers,
            approvers: defined(approvers),
            connections: defined(connections),
            rules: rules.into_iter().map(|rule| rule.value).collect(),
            masking_rules,
            masking,
            masking_approvers,
            record,
        };
        self.problems.none_or(self.all_is_read.then_some(policy))
    }

    fn issuers(&mut self, documents: &[PolicyDocument]) -> Vec<Issuer> {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        let sections = documents.iter().filter_map(|one| one.identity.as_ref());
        let listed = sections.flat_map(|identity| identity.issuers.0.iter().flatten());
        let mut issuers = Vec::new();
        for At { value, .. } in listed {
            if let Some(issuer) = &value.issuer.0
                && let Some(first) = seen.insert(&issuer.value, issuer.place)
            {
                self.twice("this issuer", issuer.place, first);
            }
            issuers.extend(self.issuer(value));
        }
        issuers
    }

    fn issuer(&mut self, document: &IssuerDocument) -> Option<Issuer> {
        if let Some(issuer) = &document.issuer.0
            && !is_issuer_address(&issuer.value)
        {
            self.problems.suggest(
                issuer.place,
                format!("{} is not the https address of an issuer", quoted(&issuer.value)),
                "copy `iss` from one of its tokens, such as https://login.microsoftonline.com/TENANT/v2.0",
            );
        }
        if let Some(audience) = &document.audience.0
            && audience.value.0.is_empty()
            && audience.sound
        {
            self.problems.suggest(
                audience.place,
                "no audience is named: every token would be refused",
                "name the application id tokens are issued for",
            );
        }
        for empty in [&document.tenants, &document.clients].into_iter().flatten() {
            if empty.value.is_empty() && empty.sound {
                self.problems.suggest(
                    empty.place,
                    "this list is empty: every token would be refused",
                    "leave the key out to not check it",
                );
            }
        }
        let agents = document.agents.as_ref().map(|agents| AgentRules {
            app_roles: texts(agents.value.app_roles.as_ref()),
            groups: texts(agents.value.groups.as_ref()),
            clients: texts(agents.value.clients.as_ref()),
        });
        if let (Some(agents), Some(at)) = (&agents, &document.agents)
            && *agents == AgentRules::default()
            && at.sound
        {
            self.problems.suggest(
                at.place,
                "no token can be an agent's by this",
                "name app_roles, groups or clients, or leave `agents` out",
            );
        }
        Some(Issuer {
            issuer: document.issuer.0.as_ref()?.value.clone(),
            audience: document.audience.0.as_ref()?.value.0.clone(),
            tenants: texts(document.tenants.as_ref().map(|at| &at.value)),
            clients: texts(document.clients.as_ref().map(|at| &at.value)),
            agents: agents.unwrap_or_default(),
        })
    }

    fn approvers(
        &mut self,
        documents: &[PolicyDocument],
    ) -> Defined<ApproverGroupName, ApproverGroup> {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        let mut approvers = Defined::new();
        let sections = documents.iter().filter_map(|one| one.approvers.as_ref());
        for (name, document) in sections.flat_map(|section| &section.0) {
            if let Some(first) = seen.insert(&name.value, name.place) {
                self.twice("this approver group", name.place, first);
                continue;
            }
            let group = document.as_ref().map(|one| self.approver(one));
            approvers.insert(ApproverGroupName(name.value.as_str().into()), group);
        }
        approvers
    }

    fn approver(&mut self, document: &At<ApproverDocument>) -> ApproverGroup {
        let At { value, place, .. } = document;
        let kind = value
            .kind
            .as_ref()
            .map_or(ApproverKind::Human, |kind| kind.value);
        let groups: BTreeSet<String> = texts(value.groups.as_ref().map(|list| &list.value));
        let principals = self.principals(value.principals.as_ref());
        let count = value.count.as_ref().map_or(1, |count| count.value.0);
        if groups.is_empty() && principals.is_empty() && document.sound {
            self.problems.suggest(
                *place,
                "nobody is in this group",
                "name `groups` of people, or `principals` one by one",
            );
        }
        if kind == ApproverKind::Pipeline
            && let Some(groups) = &value.groups
        {
            self.problems.suggest(
                groups.place,
                "a pipeline is named one by one, not by group",
                "use `principals: [\"app:NAME\"]`",
            );
        }
        let listed = value.principals.iter().flat_map(|list| &list.value);
        for principal in listed {
            let suits = match kind {
                ApproverKind::Human => "user:",
                ApproverKind::Pipeline => "app:",
            };
            let text = &principal.value;
            if text.starts_with("agent:") {
                self.problems.suggest(
                    principal.place,
                    format!("{} is an agent, and an agent never approves", quoted(text)),
                    "name people as user:NAME, or pipelines as app:NAME with `kind: pipeline`",
                );
            } else if is_principal(text) && !text.starts_with(suits) {
                let (is, how) = match kind {
                    ApproverKind::Human => ("a program", "give the group `kind: pipeline`"),
                    ApproverKind::Pipeline => ("a person", "leave `kind: pipeline` out"),
                };
                self.problems.suggest(
                    principal.place,
                    format!(
                        "{} is {is}, which this kind of group does not have",
                        quoted(text)
                    ),
                    how,
                );
            }
        }
        if groups.is_empty()
            && !principals.is_empty()
            && usize::try_from(count).is_ok_and(|count| count > principals.len())
            && let Some(count) = &value.count
        {
            let members = principals.len();
            self.problems.suggest(
                count.place,
                format!("{} must agree, but only {members} can", count.value.0),
                "lower `count`, or name more members",
            );
        }
        ApproverGroup {
            groups,
            principals,
            kind,
            count,
            expires_in: value
                .expires_in
                .as_ref()
                .map_or(DEFAULT_EXPIRY, |at| at.value.0),
            rows_factor: value.rows_factor.as_ref().map(|factor| factor.0),
        }
    }

    fn connections(
        &mut self,
        documents: &[PolicyDocument],
    ) -> Defined<ConnectionName, ConnectionRules> {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        let mut connections = Defined::new();
        let sections = documents.iter().filter_map(|one| one.connections.as_ref());
        for (name, document) in sections.flat_map(|section| &section.0) {
            if let Some(first) = seen.insert(&name.value, name.place) {
                self.twice("this connection", name.place, first);
                continue;
            }
            let parsed = match name.value.parse::<ConnectionName>() {
                Ok(parsed) => parsed,
                Err(_) => {
                    self.problems.suggest(
                        name.place,
                        format!("{} cannot name a connection", quoted(&name.value)),
                        "use a lowercase letter, then up to 62 lowercase letters, digits, `-` or `_`",
                    );
                    continue;
                }
            };
            let rules = document
                .as_ref()
                .and_then(|one| self.connection(&parsed, &one.value));
            connections.insert(parsed, rules);
        }
        connections
    }

    fn connection(
        &mut self,
        name: &ConnectionName,
        document: &ConnectionDocument,
    ) -> Option<ConnectionRules> {
        let kind = document.kind.0.as_ref().map(|kind| kind.value.0);
        let nobody = "this connection is allowed to nobody";
        let allow = document
            .allow
            .0
            .as_ref()
            .map(|allow| self.who(allow, nobody));
        let programs = self.programs(kind, document);
        let known = programs.clone().unwrap_or_default();
        let host = match &document.ssh {
            // Without it, what its endpoints say cannot be judged.
            Some(ssh) => Some(self.host(kind, ssh)?),
            None => None,
        };
        let api = self.api(kind, document);
        let mut endpoint = |given: &At<EndpointDocument>| {
            let problems = &mut self.problems;
            EndpointDocument::endpoint(given, kind, &known, host.as_ref(), &api, problems)
        };
        let read = document.read.0.as_ref().and_then(&mut endpoint);
        let write = document.write.as_ref().map(endpoint);
        if let (Some(Endpoint::Http(read)), Some(Some(Endpoint::Http(write)))) = (&read, &write)
            && read.api.url != write.api.url
            && let Some(at) = &document.write
        {
            let how = "give both the same url, or make two connections of it";
            self.problems.suggest(
                at.place,
                "a connection leads to one API, and this is another",
                how,
            );
        }
        programs?;
        Some(ConnectionRules {
            name: name.clone(),
            kind: kind?,
            read: read?,
            write: match write {
                Some(write) => Some(write?),
                None => None,
            },
            allow: allow?,
            budget: document
                .budget
                .as_ref()
                .map_or_else(Budget::default, budget),
            functions: Arc::new(
                document
                    .functions
                    .iter()
                    .flatten()
                    .map(|function| function.0.clone())
                    .collect(),
            ),
        })
    }

    /// What a connection says of its API, where it is one for HTTP; `url` is for its endpoints to fill in.
    fn api(&mut self, kind: Option<ConnectionKind>, document: &ConnectionDocument) -> Api {
        let ConnectionDocument {
            api,
            mask_requests,
            on_finding,
            ..
        } = document;
        let keys = [
            ("api", api.as_ref().map(|at| at.place)),
            ("mask_requests", mask_requests.as_ref().map(|at| at.place)),
            ("on_finding", on_finding.as_ref().map(|at| at.place)),
        ];
        for (key, place) in keys {
            if let (Some(place), Some(kind)) = (place, kind)
                && kind != ConnectionKind::Http
            {
                let how = "remove it, or write `kind: http`";
                self.problems
                    .suggest(place, format!("`{key}` is for HTTP APIs"), how);
            }
        }
        let family = api.as_ref().map(|at| at.value);
        Api {
            url: String::new(),
            family,
            mask_requests: mask_requests
                .as_ref()
                .map_or(family == Some(Family::Model), |at| at.value),
            on_finding: on_finding.as_ref().map(|at| at.value).unwrap_or_default(),
        }
    }

    /// The host a connection's programs run at. `None`: something is wrong, and has been reported.
    fn host(&mut self, kind: Option<ConnectionKind>, document: &At<SshDocument>) -> Option<Host> {
        let At { value, place, .. } = document;
        if kind.is_some_and(|kind| kind != ConnectionKind::Command) {
            let how = "remove it, or write `kind: command`";
            self.problems.suggest(*place, "`ssh` is for commands", how);
            return None;
        }
        let port = value
            .port
            .as_ref()
            .map_or(Some(22), |port| match u16::try_from(port.value.0) {
                Ok(port) => Some(port),
                Err(_) => {
                    let how = "use one from 1 to 65535";
                    self.problems.suggest(port.place, "this is no port", how);
                    None
                }
            });
        let keys = value.host_keys.as_ref();
        let given = keys.map_or(&[][..], |keys| &keys.value.0);
        if given.is_empty() && keys.is_none_or(|keys| keys.sound) {
            let place = keys.map_or(*place, |keys| keys.place);
            let message = "this does not say by which key the host is known: `host_keys`";
            self.problems.suggest(place, message, units::SCAN);
        }
        (document.sound && !given.is_empty()).then_some(Host {
            name: value.host.0.as_ref()?.value.0.clone(),
            port: port?,
            keys: given.iter().map(|key| key.0.clone()).collect(),
        })
    }

    /// The programs a connection names, where it is one for commands. `None`: something is wrong, and has been reported.
    fn programs(
        &mut self,
        kind: Option<ConnectionKind>,
        document: &ConnectionDocument,
    ) -> Option<Arc<BTreeMap<String, String>>> {
        let given = document.programs.as_ref();
        let programs = named(given, units::program, &mut self.problems)?;
        match (kind, given) {
            (Some(ConnectionKind::Command), _) if programs.is_empty() => {
                let place = given.map(|given| given.place);
                let place = place.or(document.kind.0.as_ref().map(|kind| kind.place))?;
                let how = "name at least one, such as `programs: { kubectl: /usr/bin/kubectl }`";
                self.problems
                    .suggest(place, "this connection names no program to run", how);
                None
            }
            (Some(ConnectionKind::Command) | None, _) | (_, None) => Some(Arc::new(programs)),
            (Some(_), Some(given)) => {
                let how = "remove it, or write `kind: command`";
                self.problems
                    .suggest(given.place, "`programs` is for commands", how);
                None
            }
        }
    }

    fn rules(
        &mut self,
        documents: &[PolicyDocument],
        approvers: &Defined<ApproverGroupName, ApproverGroup>,
        connections: &Defined<ConnectionName, ConnectionRules>,
    ) -> Vec<At<Rule>> {
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        let mut rules = Vec::new();
        let sections = documents.iter().filter_map(|one| one.rules.as_ref());
        for document in sections.flatten() {
            if let Some(name) = &document.value.name.0
                && let Some(first) = seen.insert(&name.value, name.place)
            {
                self.twice("a rule of this name", name.place, first);
            }
            if rules.len() == MAX_RULES {
                let message = format!("there are more than {MAX_RULES} rules");
                let how = "join rules that differ only in a table or a connection";
                self.problems.suggest(document.place, message, how);
                break;
            }
            let before = self.problems.count();
            if let Some((value, place)) = self.rule(&document.value, approvers, connections) {
                rules.push(At {
                    value,
                    place,
                    sound: document.sound && self.problems.count() == before,
                });
            }
        }
        rules
    }

    /// A rule, and where its name stands.
    fn rule(
        &mut self,
        document: &RuleDocument,
        approvers: &Defined<ApproverGroupName, ApproverGroup>,
        connections: &Defined<ConnectionName, ConnectionRules>,
    ) -> Option<(Rule, Place)> {
        let who = document
            .who
            .as_ref()
            .map(|who| self.who(who, "this rule is about nobody"));
        let about = self.rule_connections(document, connections);
        let then = document.then.0.as_ref();
        let follows = then.map(|then| self.consequence(&then.value, approvers));
        if let Some(then) = then
            && document.when.is_none()
            && matches!(then.value, ThenDocument::Allow | ThenDocument::Rewrite(_))
        {
            self.problems.suggest(
                then.place,
                "this rule lets through without saying what",
                "add `when: { effect: [..] }` with the effects it allows",
            );
        }
        let when = document.when.as_ref().map(|when| &when.value);
        let effect = when.and_then(|when| when.effect.as_ref());
        let tables = when.and_then(|when| when.tables.as_ref());
        self.not_empty(effect, "effect");
        self.not_empty(tables, "table");
        let kinds = when.and_then(|when| when.kinds.as_ref());
        self.not_empty(kinds, "kind");
        let At {
            value: name, place, ..
        } = document.name.0.as_ref()?;
        let rule = Rule {
            name: RuleName(name.as_str().into()),
            who,
            connections: about,
            between: document.between.as_ref().map(|at| at.value.0.clone()),
            when: Condition {
                effects: effect
                    .into_iter()
                    .flat_map(|at| at.value.0.iter().copied())
                    .collect(),
                kinds: kinds
                    .into_iter()
                    .flat_map(|at| at.value.0.iter().map(|pattern| pattern.0.clone()))
                    .collect(),
                tables: tables
                    .into_iter()
                    .flat_map(|at| at.value.0.iter().map(|pattern| pattern.0.clone()))
                    .collect(),
                unbounded: when.and_then(|when| when.unbounded),
            },
            then: follows?,
        };
        Some((rule, *place))
    }

    fn consequence(
        &mut self,
        then: &ThenDocument,
        approvers: &Defined<ApproverGroupName, ApproverGroup>,
    ) -> Consequence {
        match then {
            ThenDocument::Allow => Consequence::Allow,
            ThenDocument::Deny(message) => Consequence::Deny(message.trim().into()),
            ThenDocument::Rewrite(into) => Consequence::Rewrite(*into),
            ThenDocument::RequireApproval(group) => {
                let name = ApproverGroupName(group.value.as_str().into());
                if self.all_is_read && !approvers.contains_key(&name) {
                    let known = approvers.keys().map(|name| name.0.as_ref());
                    self.unknown_name(group.place, &group.value, "approver group", known);
                }
                Consequence::RequireApproval(name)
            }
        }
    }

    fn rule_connections(
        &mut self,
        document: &RuleDocument,
        connections: &Defined<ConnectionName, ConnectionRules>,
    ) -> BTreeSet<ConnectionName> {
        self.not_empty(document.connections.as_ref(), "connection");
        let named = document.connections.iter().flat_map(|at| &at.value.0);
        let mut about = BTreeSet::new();
        for name in named {
            match name.value.parse::<ConnectionName>() {
                Ok(parsed) if connections.contains_key(&parsed) || !self.all_is_read => {
                    about.insert(parsed);
                }
                _ => {
                    let known = connections.keys().map(ConnectionName::as_str);
                    self.unknown_name(name.place, &name.value, "connection", known);
                }
            }
        }
        about
    }

    /// An empty list narrows a rule to nothing, where leaving it out would not narrow it at all.
    fn not_empty<T>(&mut self, list: Option<&At<OneOrMore<T>>>, what: &str) {
        if let Some(list) = list
            && list.value.0.is_empty()
            && list.sound
        {
            self.problems.suggest(
                list.place,
                format!("this list is empty: the rule is about no {what}"),
                "leave the key out for any",
            );
        }
    }

    fn who(&mut self, document: &At<WhoDocument>, nobody: &str) -> Who {
        let At { value, place, .. } = document;
        let who = Who {
            groups: texts(value.groups.as_ref().map(|list| &list.value)),
            app_roles: texts(value.app_roles.as_ref().map(|list| &list.value)),
            principals: self.principals(value.principals.as_ref()),
        };
        if who == Who::default() && document.sound {
            self.problems
                .suggest(*place, nobody, "name groups, app_roles or principals");
        }
        who
    }

    fn principals(&mut self, list: Option<&At<Vec<At<String>>>>) -> BTreeSet<String> {
        let mut principals = BTreeSet::new();
        for principal in list.iter().flat_map(|list| &list.value) {
            if !is_principal(&principal.value) {
                self.problems.suggest(
                    principal.place,
                    format!("{} does not name a principal", quoted(&principal.value)),
                    "write user:NAME for a person, agent:NAME for an agent, app:NAME for another program",
                );
            }
            principals.insert(principal.value.clone());
        }
        principals
    }

    fn masking(&mut self, documents: &[PolicyDocument]) -> MaskingRules {
        let mut masking = MaskingRules::default();
        let mut names: BTreeMap<&str, Place> = BTreeMap::new();
        let mut detect: Option<Place> = None;
        let sections = documents.iter().filter_map(|one| one.masking.as_ref());
        for At { value, place, .. } in sections {
            let MaskingSection {
                approvers: _,
                columns,
                detect: sets,
                patterns,
            } = value;
            for At { value: column, .. } in columns.iter().flatten() {
                if let (Some(pattern), Some(how)) = (&column.r#match.0, column.r#as.0) {
                    // One that cannot be is told with its place.
                    let domain = column.domain.as_ref().map(|domain| &domain.value);
                    let sound = |domain: &&String| {
                        how == How::Pseudonym && units::domain_name(domain).is_ok()
                    };
                    masking.columns.push(ColumnRule {
                        pattern: pattern.value.0.clone(),
                        as_: how,
                        domain: domain.filter(sound).cloned(),
                        in_predicates: column.in_predicates.unwrap_or_default(),
                    });
                }
            }
            if let Some(OneOrMore(sets)) = sets {
                if let Some(first) = detect.replace(*place) {
                    self.twice("`detect`", *place, first);
                }
                masking.detect = sets.iter().copied().collect();
            }
            for At { value: pattern, .. } in patterns.iter().flatten() {
                let Some(name) = &pattern.name.0 else {
                    continue;
                };
                if let Some(first) = names.insert(&name.value, name.place) {
                    self.twice("a masking pattern of this name", name.place, first);
                }
                if let (Some(regex), Some(how)) = (&pattern.regex.0, pattern.r#as.0) {
                    masking.patterns.push(Pattern {
                        name: name.value.clone(),
                        regex: regex.value.0.clone(),
                        as_: how,
                    });
                }
            }
        }
        masking
    }

    /// The rules made ready, to find here what cannot be; whoever has a key makes them again with it.
    fn compiled(&mut self, documents: &[PolicyDocument], rules: &MaskingRules) -> Masking {
        Masking::compile(rules.clone()).unwrap_or_else(|error| {
            let sections = documents.iter().filter_map(|one| one.masking.as_ref());
            for At { place, .. } in sections.take(1) {
                self.problems
                    .suggest(*place, error.to_string(), "mend it here");
            }
            Masking::default()
        })
    }

    /// Who is asked about conditions on masked columns.
    fn masking_approvers(
        &mut self,
        documents: &[PolicyDocument],
        approvers: &Defined<ApproverGroupName, ApproverGroup>,
    ) -> Option<ApproverGroupName> {
        let mut named: Option<&At<String>> = None;
        for section in documents.iter().filter_map(|one| one.masking.as_ref()) {
            match (named, &section.value.approvers) {
                (Some(first), Some(again)) => {
                    self.twice("`masking.approvers`", again.place, first.place);
                }
                (None, given) => named = given.as_ref(),
                (Some(_), None) => {}
            }
        }
        if let Some(At { value, place, .. }) = named {
            let name = ApproverGroupName(value.as_str().into());
            if self.all_is_read && !approvers.contains_key(&name) {
                let known = approvers.keys().map(|name| name.0.as_ref());
                self.unknown_name(*place, value, "approver group", known);
            }
            return Some(name);
        }
        let mut people = approvers.iter().filter(|(_, group)| {
            group
                .as_ref()
                .is_some_and(|group| group.kind == ApproverKind::Human)
        });
        match (people.next(), people.next()) {
            (Some((only, _)), None) => Some(only.clone()),
            _ => None,
        }
    }

    fn record(&mut self, documents: &[PolicyDocument]) -> RecordRules {
        let mut found: Option<&At<RecordDocument>> = None;
        for section in documents.iter().filter_map(|one| one.record.as_ref()) {
            match found {
                Some(first) => self.twice("`record`", section.place, first.place),
                None => found = Some(section),
            }
        }
        let record = found.map(|at| &at.value);
        let readers = record.and_then(|one| one.readers.as_ref());
        let readers = readers.map(|who| self.who(who, "nobody is named as a reader"));
        RecordRules {
            readers: readers.unwrap_or_default(),
            retain: record
                .and_then(|one| one.retain.as_ref())
                .map(|text| text.0),
            results: record
                .and_then(|one| one.results)
                .unwrap_or(RecordedResults::Masked),
            max_result: record
                .and_then(|one| one.max_result.as_ref())
                .map_or(DEFAULT_MAX_RESULT, |text| text.0),
        }
    }

    /// A group no rule asks is most likely one a rule was meant to ask. Masking may ask any group, where it holds
    /// statements that compare masked columns.
    fn unused_approvers(&mut self, documents: &[PolicyDocument], masking: &MaskingRules) {
        let masking_may_ask = masking
            .columns
            .iter()
            .any(|column| column.in_predicates == InPredicates::RequireApproval)
            || documents
                .iter()
                .any(|one| one.masking.as_ref().is_some_and(|at| !at.sound));
        let sections: Vec<_> = documents
            .iter()
            .filter_map(|one| one.approvers.as_ref())
            .collect();
        let names = || {
            sections
                .iter()
                .flat_map(|section| &section.0)
                .map(|(name, _)| name)
        };
        let known: BTreeSet<&str> = names().map(|name| name.value.as_str()).collect();
        let mut asked = BTreeSet::new();
        for rule in documents
            .iter()
            .filter_map(|one| one.rules.as_ref())
            .flatten()
        {
            match rule.value.then.0.as_ref().map(|then| &then.value) {
                Some(ThenDocument::RequireApproval(group))
                    if known.contains(group.value.as_str()) =>
                {
                    asked.insert(group.value.as_str());
                }
                Some(ThenDocument::Allow | ThenDocument::Deny(_) | ThenDocument::Rewrite(_)) => {}
                // A name that is not there is a misspelling of one that is: reported once is enough.
                Some(ThenDocument::RequireApproval(_)) | None => return,
            }
        }
        if masking_may_ask || !self.all_is_read {
            return;
        }
        for name in names().filter(|name| !asked.contains(name.value.as_str())) {
            self.problems.suggest(
                name.place,
                format!("no rule asks the approver group {}", quoted(&name.value)),
                format!(
                    "use it in a rule, `then: {{ require_approval: {} }}`, or remove it",
                    name.value
                ),
            );
        }
    }

    /// What masking could not be made ready with, told with its place.
    fn masking_bounds(&mut self, documents: &[PolicyDocument]) {
        let sections = || documents.iter().filter_map(|one| one.masking.as_ref());
        let columns = || sections().flat_map(|at| at.value.columns.iter().flatten());
        let patterns = || sections().flat_map(|at| at.value.patterns.iter().flatten());
        let mut seen: BTreeMap<String, Place> = BTreeMap::new();
        for At { value, place, .. } in columns().filter_map(|at| at.value.r#match.0.as_ref()) {
            // `*.customers.email` and `customers.email` are the same columns.
            let same = value.0.to_lowercase();
            let same = match same.strip_prefix("*.") {
                Some(rest) if rest.contains('.') => rest.to_owned(),
                _ => same,
            };
            if let Some(first) = seen.insert(same, *place) {
                self.twice("a rule for these columns", *place, first);
            }
        }
        for At { value: column, .. } in columns() {
            if let (Some(domain), Some(how)) = (&column.domain, column.r#as.0) {
                if how != How::Pseudonym {
                    let message = "only pseudonyms have a domain";
                    let how = "mask it `as: pseudonym`, or remove `domain`";
                    self.problems.suggest(domain.place, message, how);
                } else if let Err((message, suggestion)) = units::domain_name(&domain.value) {
                    self.problems.suggest(domain.place, message, suggestion);
                }
            }
        }
        for At { value, place, .. } in patterns().filter_map(|at| at.value.name.0.as_ref()) {
            if let Err((message, suggestion)) = units::pattern_name(value) {
                self.problems.suggest(*place, message, suggestion);
            }
        }
        let count = columns().count() + patterns().count();
        if count > MAX_MASKING_RULES
            && let Some(section) = sections().next()
        {
            let message =
                format!("there are {count} masking rules; the most is {MAX_MASKING_RULES}");
            let how = "join patterns with `|`, and columns with `*`";
            self.problems.suggest(section.place, message, how);
        }
    }

    fn unknown_name<'n>(
        &mut self,
        place: Place,
        name: &str,
        what: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) {
        if !self.problems.is_full() {
            let message = format!("there is no {what} {}", quoted(name));
            let hint = choices(name, "defined", known);
            self.problems.suggest(place, message, hint);
        }
    }

    fn twice(&mut self, what: &str, place: Place, first: Place) {
        let first = self.problems.whereabouts(first);
        self.problems.suggest(
            place,
            format!("{what} is there twice"),
            format!("it is already at {first}: rename or remove one of the two"),
        );
    }
}

/// Tokens are worth what the keys they are checked with are worth, and those come from this address.
fn is_issuer_address(text: &str) -> bool {
    let loopback = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let is_loopback = loopback.iter().any(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    is_loopback
        || text
            .strip_prefix("https://")
            .is_some_and(|rest| !rest.is_empty())
}

fn is_principal(text: &str) -> bool {
    ["user:", "agent:", "app:"].iter().any(|prefix| {
        text.strip_prefix(prefix)
            .is_some_and(|name| !name.trim().is_empty())
    })
}

fn texts(list: Option<&Vec<String>>) -> BTreeSet<String> {
    list.into_iter().flatten().cloned().collect()
}

fn budget(document: &BudgetDocument) -> Budget {
    let default = Budget::default();
    let number = |given: &Option<Positive>, otherwise: u32| given.map_or(otherwise, |one| one.0);
    Budget {
        rows: document.rows.map_or(default.rows, |rows| rows.0.into()),
        bytes: document
            .bytes
            .as_ref()
            .map_or(default.bytes, |bytes| bytes.0),
        requests_per_minute: number(&document.requests_per_minute, default.requests_per_minute),
        timeout: document
            .timeout
            .as_ref()
            .map_or(default.timeout, |timeout| timeout.0),
    }
}

/// Everything whose definition could be read. Called only for a policy without problems, where that is everything.
fn defined<K: Ord, V>(named: Defined<K, V>) -> BTreeMap<K, V> {
    named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
