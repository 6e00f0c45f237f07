//! curl and wget: an HTTP call each, and what they do with files.

use super::{
    Word,
    options::{self, Arguments, NotUnderstood, Style, Takes},
};
use crate::domain::classify::{
    Effect, Facts,
    http::{self, HttpCall},
};

/// Those that change neither what is sent nor where the answer goes, and those that are looked at below.
const CURL: Takes = Takes(
    "silent,s! show-error,S! fail,f! fail-with-body! location,L! insecure,k! include,i! verbose,v! compressed! progress-bar,#! \
     no-progress-meter! http1.1! http1.0,0! http2! tlsv1.2! tlsv1.3! ipv4,4! ipv6,6! no-buffer,N! globoff,g! max-time,m \
     connect-timeout retry retry-delay retry-max-time retry-all-errors! user-agent,A referer,e range,r write-out,w \
     request,X head,I! get,G! data,d data-raw data-ascii data-binary data-urlencode json form,F form-string upload-file,T cacert http2-prior-knowledge! \
     header,H user,u cookie,b output,o remote-name,O! remote-header-name,J! url oauth2-bearer cookie-jar,c dump-header,D help,h! \
     version,V! max-redirs",
);
const WGET: Takes = Takes(
    "quiet,q! no-verbose! output-document,O spider! timeout,T tries,t user-agent,U header method post-data post-file body-data \
     body-file server-response,S! no-check-certificate! max-redirect help,h! version,V!",
);

pub(super) fn judge_curl(words: &[Word]) -> Facts {
    let arguments = match options::parse(&[CURL], Style::Getopt, words) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("curl: {why}")),
    };
    if arguments.has("help") || arguments.has("version") {
        return Facts::of(Effect::Read, "curl", "curl only tells about itself");
    }
    let mut request = Request::default();
    for (name, value) in &arguments.options {
        let value = value.unwrap_or_default();
        match *name {
            "data" | "data-ascii" | "data-binary" | "data-urlencode" | "json" | "cookie"
            | "header" | "write-out"
                if sends_file(name, value) =>
            {
                request.also(
                    Effect::Write,
                    "curl reads a local file, and sends what is in it",
                );
            }
            "data-urlencode" => request.body.push(encoded(value)),
            "data" | "data-raw" | "data-ascii" | "data-binary" | "json" => {
                request.body.push(value.to_owned())
            }
            "form" | "form-string" | "upload-file" => request.also(Effect::Write, "curl uploads"),
            "output" if matches!(value, "/dev/null" | "-") => {}
            "output" | "remote-name" | "remote-header-name" | "cookie-jar" | "dump-header" => {
                request.also(Effect::Write, "curl writes a local file");
            }
            "write-out" if value.contains("%output") => {
                request.also(Effect::Write, "curl writes a local file");
            }
            "header" => request.header(value),
            "user" | "oauth2-bearer" => request.header("Authorization: given"),
            _ => {}
        }
    }
    let implied = if arguments.has("head") {
        "HEAD"
    } else if !request.body.is_empty() && !arguments.has("get") {
        "POST"
    } else {
        "GET"
    };
    request.method = arguments.last("request").unwrap_or(implied).to_owned();
    if arguments.has("get") && !request.body.is_empty() {
        let data = request.body.join("&");
        request.body.clear();
        request.query = Some(data);
    }
    request.judge(
        "curl",
        &arguments,
        arguments.values("url").map(str::to_owned).collect(),
    )
}

/// Whether the value names a file whose content is sent, or that says what is.
fn sends_file(option: &str, value: &str) -> bool {
    match option {
        "cookie" => !value.contains('='),
        // `name@file`, where no `=` makes it a text before.
        "data-urlencode" => value
            .find(['@', '='])
            .is_some_and(|at| value[at..].starts_with('@')),
        _ => value.starts_with('@'),
    }
}

/// `name=text` with the text encoded.
fn encoded(value: &str) -> String {
    use std::fmt::Write;
    let (name, text) = value.split_once('=').unwrap_or(("", value));
    let mut out = String::from(name);
    if !name.is_empty() {
        out.push('=');
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(super) fn judge_wget(words: &[Word]) -> Facts {
    let arguments = match options::parse(&[WGET], Style::Getopt, words) {
        Ok(arguments) => arguments,
        Err(NotUnderstood(why)) => return Facts::unknown(format!("wget: {why}")),
    };
    if arguments.has("help") || arguments.has("version") {
        return Facts::of(Effect::Read, "wget", "wget only tells about itself");
    }
    let mut request = Request::default();
    for (name, value) in &arguments.options {
        let value = value.unwrap_or_default();
        match *name {
            "post-data" | "body-data" => request.body.push(value.to_owned()),
            "post-file" | "body-file" => request.also(
                Effect::Write,
                "wget reads a local file, and sends what is in it",
            ),
            "header" => request.header(value),
            _ => {}
        }
    }
    let to_output = matches!(arguments.last("output-document"), Some("-" | "/dev/null"));
    if !to_output && !arguments.has("spider") {
        request.also(Effect::Write, "wget writes a local file");
    }
    let implied = if !request.body.is_empty() {
        "POST"
    } else if arguments.has("spider") {
        "HEAD"
    } else {
        "GET"
    };
    request.method = arguments.last("method").unwrap_or(implied).to_owned();
    request.judge("wget", &arguments, Vec::new())
}

#[derive(Default)]
struct Request {
    method: String,
    headers: Vec<(String, String)>,
    body: Vec<String>,
    query: Option<String>,
    beside: Vec<(Effect, &'static str)>,
}

impl Request {
    fn also(&mut self, effect: Effect, why: &'static str) {
        self.beside.push((effect, why));
    }

    fn header(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        self.headers
            .push((name.trim().to_owned(), value.trim().to_owned()));
    }

    fn judge(self, program: &str, arguments: &Arguments<'_>, mut urls: Vec<String>) -> Facts {
        urls.extend(arguments.operands.iter().map(|word| word.text.clone()));
        if urls.is_empty() {
            return Facts::unknown(format!("{program} is given no URL"));
        }
        let body = (!self.body.is_empty()).then(|| self.body.join("&"));
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let calls = urls.iter().map(|url| {
            if url.contains(['{', '}', '[', ']']) {
                return Facts::unknown("its URL is a pattern for many");
            }
            let mut url = if url.contains("://") {
                url.clone()
            } else {
                format!("http://{url}")
            };
            if let Some(query) = &self.query {
                url.push(if url.contains('?') { '&' } else { '?' });
                url.push_str(query);
            }
            let mut facts = http::classify(&HttpCall {
                method: &self.method,
                url: &url,
                headers: &headers,
                body: body.as_deref().map(str::as_bytes),
            });
            facts.kinds.insert(0, program.to_owned());
            facts
        });
        let beside = self
            .beside
            .iter()
            .map(|(effect, why)| Facts::of(*effect, program, *why));
        calls
            .chain(beside)
            .reduce(Facts::and)
            .unwrap_or_else(|| Facts::unknown("it is given no URL"))
    }
}
