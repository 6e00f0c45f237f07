//! Every detector with what it finds and what only looks like it.
//!
//! No credential stands in this file, not even an invented one: `{N}` becomes N random letters and digits, `{hN}`
//! hexadecimal, `{UN}` upper case and digits, `{bN}` base64.

use super::{
    super::{Masking, MaskingRules},
    kinds::Kind,
};

/// A detector, texts in which it finds something, and texts in which nothing is found.
type Example = (Kind, &'static [&'static str], &'static [&'static str]);

const EXAMPLES: &[Example] = &[
    (
        Kind::Password,
        &[
            "password=Tulip1997_",
            "DB_PASS: hunter2x",
            "the password is {12}!",
            "Username/Password: ann/{12}!",
            "what is the password?\nbob: {12}!",
            "ann : EAP \"{12}!\"",
            "trapsink 10.0.0.4 {12}",
            "[\"id\",\"password\"]\n[1,\"{12}\"]",
            "{\"out\":\"id,password\\n1,{12}\\n\"}",
        ],
        &[
            "password_policy: strong",
            "what is the password?\nbob: see the wiki",
            "trapsink 10.0.0.4 public",
            "[\"id\",\"name\"]\n[1,\"{12}\"]",
            "{\"out\":\"id,name\\n1,{12}\\n\"}",
            "password=${DB_PASSWORD}",
            "password: <your-password>",
            "has_password: true",
        ],
    ),
    (
        Kind::GenericSecret,
        &[
            "api_key: {32}",
            "client_secret={24}",
            "JWT_SECRET='{20}'",
            "session={41}",
            "[\"X-Api-Key\",\"{h32}\"]",
        ],
        &[
            "session=7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001",
            "session: opened",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/api-{6}",
            "token_type: Bearer",
            "secretName: mango-tls",
            "next_token={32}",
            "https://management.azure.com/subscriptions?%24skiptoken={43}",
            "sort_key: {32}",
        ],
    ),
    (
        Kind::UriPassword,
        &["postgres://app:{12}@db/x", "redis://:{16}@cache:6379"],
        &[
            "https://contoso.com/a:b@c",
            "postgres://app@db:5432/x",
            "postgres://app:${PW}@db",
        ],
    ),
    (
        Kind::Bearer,
        &[
            "Authorization: Bearer {40}",
            "-H 'authorization: bearer {h40}'",
        ],
        &["a bearer of good news", "Bearer YOUR_TOKEN_HERE_PLEASE"],
    ),
    (
        Kind::BasicAuth,
        &["Authorization: Basic YWRtaW46VHVsaXAxOTk3"],
        &["Basic understanding of things", "Basic {12}"],
    ),
    (
        Kind::Cookie,
        &[
            "Set-Cookie: session={43}; Path=/",
            "Cookie: theme=dark; sid={32}",
            ".contoso.com\tTRUE\t/\tTRUE\t1799999999\tsession\t{41}",
        ],
        &["Cookie: theme=dark; lang=nl-NL"],
    ),
    (
        Kind::Jwt,
        &["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0In0.{43}"],
        &["cursor eyJpZCI6IDIwODM0MSwgImRpciI6ICJuZXh0In0="],
    ),
    (
        Kind::PrivateKey,
        &[
            "-----BEGIN PRIVATE KEY-----\n{b64}\n{b64}\n-----END PRIVATE KEY-----",
            "-----BEGIN OpenVPN Static key V1-----\n{h32}\n{h32}\n-----END OpenVPN Static key V1-----",
        ],
        &[
            "-----BEGIN CERTIFICATE-----\n{b64}\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----\n{b64}\n-----END PUBLIC KEY-----",
        ],
    ),
    (
        Kind::AzureStorage,
        &["the value is {b86}== here"],
        &["\"integrity\": \"sha512-{b86}==\""],
    ),
    (Kind::AzureKey, &["key {b68}ACDb{b6}=="], &["{b20}ACDb{b6}"]),
    (
        Kind::AzureSas,
        &["https://a.blob.core.windows.net/c?sv=2023-11-03&sp=r&sig={43}%3D"],
        &["sv=2023-11-03&sp=r&se=2026-10-25"],
    ),
    (
        Kind::AzureFunction,
        &["code {44}AzFu{6}=="],
        &["AzFun with Functions"],
    ),
    (Kind::AzureRedis, &["cache {33}AzCa{6}="], &["AzCa"]),
    (
        Kind::EntraSecret,
        &["it is {3}8Q~{34} now"],
        &["8Q~", "{3}8Q~{10}"],
    ),
    (
        Kind::EntraRefresh,
        &["refresh_token: 1.A{24}.{120}"],
        &["version 1.A"],
    ),
    (
        Kind::AcrPassword,
        &["use {42}+ACR{6} there"],
        &["a+ACRONYM"],
    ),
    (Kind::DevopsPat, &["pat {76}AZDO{4} here"], &["AZDO_ORG"]),
    (
        Kind::AwsAccessKey,
        &["AKIA{U16}"],
        &["AKIAIOSFODNN7EXAMPLE", "AKIA{U9}"],
    ),
    (
        Kind::AwsSecretKey,
        &["keys are AKIA{U16} and {40} for it"],
        &["commit {h40}"],
    ),
    (Kind::GoogleKey, &["AIza{35}", "GOCSPX-{28}"], &["AIza{10}"]),
    (
        Kind::GithubToken,
        &["ghp_{36}", "github_pat_{22}_{59}"],
        &["ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "ghp_{8}"],
    ),
    (Kind::GitlabToken, &["glpat-{20}"], &["glpat-{5}"]),
    (
        Kind::SlackToken,
        &["xoxb-115702274381-4809853915141-{24}"],
        &["xoxb-your-token"],
    ),
    (
        Kind::Webhook,
        &[
            "https://hooks.slack.com/services/T{U10}/B{U10}/{24}",
            "https://app.contoso.com/reset-password/{h64}",
            "https://app.contoso.com/magic-link/{26}",
        ],
        &[
            "https://hooks.slack.com/services/",
            "https://app.contoso.com/verify/7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001",
            "https://docs.contoso.com/reset/reset-your-password-in-steps",
        ],
    ),
    (
        Kind::StripeKey,
        &["sk_live_{24}", "rk_live_{99}"],
        &["pk_live_{24}", "sk_test_..."],
    ),
    (Kind::SendgridKey, &["SG.{22}.{43}"], &["SG.com"]),
    (
        Kind::OpenaiKey,
        &["sk-proj-{40}", "sk-{48}"],
        &["sk-xxxxxxxxxxxxxxxxxxxxxxxx", "risk-based"],
    ),
    (Kind::AnthropicKey, &["sk-ant-api03-{93}AA"], &["sk-ant"]),
    (Kind::HuggingFace, &["hf_{34}"], &["hf_hub_download"]),
    (Kind::Databricks, &["dapi{h32}"], &["dapi{h12}"]),
    (Kind::NpmToken, &["npm_{36}"], &["npm_config_registry"]),
    (
        Kind::PypiToken,
        &["pypi-AgEIcHlwaS5vcmc{80}"],
        &["pypi-server"],
    ),
    (Kind::DockerPat, &["dckr_pat_{27}"], &["dckr_pat"]),
    (
        Kind::SaasToken,
        &["shpat_{h32}", "hvs.{30}", "dop_v1_{h64}"],
        &["hvs.example", "dop_v1"],
    ),
    (
        Kind::Email,
        &["ask ann.jones@contoso.com.", "mailto:ann@litware.eu"],
        &[
            "git@github.com:x/y.git",
            "api@sha256:{h64}",
            "user@example.com",
        ],
    ),
    (
        Kind::Phone,
        &[
            "+49 830 025 834",
            "(727) 313-1185",
            "call 07692 313717",
            "06-12345678",
            "020 123 4567",
            "0031 6 12345678",
            "Handynummer: 0171/2345678",
            "COM+0711234567:TE'",
        ],
        &[
            "part 020 123 4567",
            "Serial no. 030-123-4567",
            "order 731118523",
            "127.0.0.1:8080",
            "2026-03-07 17:51:53",
            "serial 0012-3456-7890-12",
            "40 00 01 00 00 00",
        ],
    ),
    (
        Kind::Card,
        &["4012 8888 8888 1881", "card 5105105105105100."],
        &[
            "4012 8888 8888 1882",
            "order 436760975624037",
            "channel 620554437209161840",
        ],
    ),
    (
        Kind::Iban,
        &["GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00"],
        &["GB82WEST12345698765433", "DE89 1234"],
    ),
    (
        Kind::UsSsn,
        &["536-90-4399"],
        &["000-12-3456", "123-45-67890"],
    ),
    (
        Kind::UkNino,
        &["TS820375A", "WX 00 97 45 A"],
        &["TS820375E", "TS82037A"],
    ),
    (
        Kind::NationalId,
        &[
            "12345678Z",
            "X1234567L",
            "RSSMRA85T10A562S",
            "529.982.247-25",
            "756.9217.0769.85",
            "131052-308T",
            "811218-9876",
            "HEGG560427MVZRRL04",
            "S1234567D",
            "PESEL: 44051401359",
            "2341 2341 2346",
            "85.07.30-033.28",
            "01010112345 is no fnr but bsn: 111222333",
        ],
        &["12345678A", "529.982.247-26", "2341 2341 2345"],
    ),
    (
        Kind::Passport,
        &[
            "passport_no: C5VT2Y496",
            "Passport number CTH38J0LJ",
            // ICAO 9303, parts 4 and 5.
            "L898902C36UTO7408122F1204159ZE184226B<<<<<10",
            "I<UTOD231458907<<<<<<<<<<<<<<<",
        ],
        &[
            "passport: required",
            "L898902C36UTO7408123F1204159ZE184226B<<<<<10",
            "a = 1 << 20",
        ],
    ),
    (
        Kind::BirthDate,
        &[
            "dob: 1944-09-07",
            "she was born on 03 March 1971",
            "Geboren am 11. Februar 1984",
            "née le 11 février 1984",
            "nacido el 11 de febrero de 1984",
            "nata il 11 febbraio 1984",
            "dob: datetime.date(1984, 2, 11)",
            "7408122F1204159UTO<<<<<<<<<<<6",
        ],
        &[
            "created_at: 2026-03-07",
            "born in 1971",
            "Nato was founded on 4 April 1949",
            "created: datetime.date(2026, 3, 7)",
        ],
    ),
];

fn expand(template: &str, mut seed: u64) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        out.push_str(before);
        let Some((inside, after)) = tail.split_once('}') else {
            break;
        };
        let digits = inside.trim_start_matches(['h', 'U', 'b']);
        let Ok(count) = digits.parse::<usize>() else {
            out.push('{');
            rest = tail;
            continue;
        };
        let alphabet: &[u8] = match inside.as_bytes()[0] {
            b'h' => b"0123456789abcdef",
            b'U' => b"ABCDEFGHIJKLMNOPQRSTUVWYZ234567",
            b'b' => b"ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwyz0123456789+/",
            _ => b"ABCDEFGHIJKLMNOPQRSTUVWYZabcdefghijklmnopqrstuvwyz0123456789",
        };
        for index in 0..count {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Every third is a digit, as in most random tokens of this length.
            let own = if index % 3 == 1 && inside.as_bytes()[0] != b'U' {
                &b"0123456789"[..]
            } else {
                alphabet
            };
            out.push(char::from(own[(seed >> 33) as usize % own.len()]));
        }
        rest = after;
    }
    out + rest
}

fn found(text: &str) -> Vec<String> {
    let masking = Masking::compile(MaskingRules::default()).unwrap();
    let mut findings = Vec::new();
    let mut stream = masking.stream();
    stream.push(text.as_bytes(), &mut Vec::new(), &mut findings);
    stream.finish(&mut Vec::new(), &mut findings);
    findings.into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn every_detector_finds_what_it_is_for_and_leaves_what_only_looks_like_it() {
    let mut wrong = Vec::new();
    for (kind, finds, leaves) in EXAMPLES {
        for seed in 1..20 {
            for text in finds.iter().map(|text| expand(text, seed)) {
                if found(&text).is_empty() {
                    wrong.push(format!("{} is not found in {text}", kind.label()));
                }
            }
            for text in leaves.iter().map(|text| expand(text, seed)) {
                let found = found(&text);
                if !found.is_empty() {
                    wrong.push(format!("{found:?} found in {text}"));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(
        wrong.is_empty(),
        "{}: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(30)]
    );
}

#[test]
fn every_detector_states_its_source_and_has_examples() {
    for kind in Kind::ALL {
        assert!(!kind.source().is_empty());
        assert!(
            EXAMPLES.iter().any(|(own, ..)| own == kind),
            "{kind:?} has no examples"
        );
    }
}
