//! Keys and secrets in Azure Key Vault: gateways of one record (Microsoft's emulator of Cosmos DB), with a stand-in for the vault
//! that says what its REST reference says, over TLS, and really wraps.
//!
//! The first test is for a real vault as well: set PORTCULLIS_TEST_KEY_VAULT_KEY to the address of an RSA key that may wrap and
//! unwrap, and AZURE_TOKEN_CREDENTIALS=dev to be whoever is signed in.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::{
    shared_record::{Place, TOKEN, change, ended},
    support::{
        gateway::{Said, word},
        key_vault::KeyVault,
        serving::Serving,
    },
};

/// Gateways whose keys and secrets are in a vault.
struct Vaulted {
    place: Place,
    vault: KeyVault,
}

impl Vaulted {
    async fn new() -> Self {
        let place = Place::new().await;
        let mut vault = KeyVault::start(TOKEN);
        // Where the database is, only the vault knows.
        let database = format!("sqlite:{}", place.folder.join("shop.db").display());
        let policy = fs::read_to_string(place.policy()).unwrap();
        let policy = policy.replace(&database, "${secret:SHOP_DATABASE}");
        fs::write(place.policy(), policy).unwrap();
        let secret = json!({"name": "SHOP-DATABASE", "value": database});
        vault.command("secret", secret);
        Self { place, vault }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "PORTCULLIS_SEALING_KEY",
                format!("{}/keys/sealing", self.vault.address),
            ),
            ("PORTCULLIS_KEY_VAULT", self.vault.address.clone()),
            ("SSL_CERT_FILE", self.vault.authority.display().to_string()),
        ]
    }

    async fn gateway(&self, name: &str) -> Serving {
        let settings = self.settings();
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        self.place.gateway_with(name, &settings).await
    }

    /// What someone does there who has its settings.
    fn run(&self, arguments: &[&str]) -> Output {
        let settings = self.settings();
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(arguments)
            .env("PORTCULLIS_POLICY", self.place.policy())
            .env("PORTCULLIS_LISTEN", "127.0.0.1:0")
            .envs(self.place.environment("refused", &settings))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A gateway that does not start, and what it says.
    fn refused(&self) -> Output {
        let output = self.run(&["serve"]);
        assert_eq!(output.code(), 1, "{}{}", output.out(), output.err());
        let said = format!("{}{}", output.out(), output.err());
        assert!(!said.contains(TOKEN) && !said.contains("shop.db"), "{said}");
        output
    }

    fn logs(&self, of: &[&str]) -> String {
        let log = |name: &&str| fs::read_to_string(self.place.folder.join(name).join("log"));
        of.iter().map(|name| log(name).unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_share_keys_that_only_the_vault_can_unwrap_and_ask_it_when_they_start_alone() {
    let mut vaulted = Vaulted::new().await;
    let real = std::env::var("PORTCULLIS_TEST_KEY_VAULT_KEY").ok();
    let mut settings = vaulted.settings();
    if let Some(key) = &real {
        // Its own certificate is a real one, and secrets come from the environment.
        let database = vaulted.place.folder.join("shop.db");
        settings = vec![
            ("PORTCULLIS_SEALING_KEY", key.clone()),
            ("SHOP_DATABASE", format!("sqlite:{}", database.display())),
        ];
        vaulted.place.emulator.wants_nothing().await;
    }
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let place = &vaulted.place;
    let (one, other) = tokio::join!(
        place.gateway_with("one", &settings),
        place.gateway_with("other", &settings)
    );
    let asked = vaulted.vault.asked();
    let (agent, dana) = (one.caller(&place.agent), other.caller(&place.dana));
    let mut fingerprints = Vec::new();
    for row in 5001..5006 {
        let read = agent
            .query("SELECT email FROM customers WHERE id = 7")
            .await;
        let same = other.caller(&place.agent);
        let same = same.query("SELECT email FROM customers WHERE id = 7").await;
        assert_eq!(read.rows(), same.rows(), "a value has one pseudonym");
        let held = agent.query(&change(row)).await;
        let done = dana.approve(&held.body["approval"]).await;
        assert_eq!(done.status, 200, "{}", done.body);
        assert_eq!(ended(&agent, &held.body).await.body["status"], "succeeded");
        assert_eq!(place.note(row), "before+");
        let session = word(&held.body["session_id"]);
        for reader in [&dana, &one.caller(&place.dana)] {
            place.verified(reader, session).await;
            let export = reader.text(&format!("/v1/sessions/{session}/export")).await;
            let last = export.lines().last().unwrap();
            let manifest: serde_json::Value = serde_json::from_str(last).unwrap();
            fingerprints.push(manifest["public_key"].clone());
        }
    }
    fingerprints.dedup();
    assert_eq!(
        fingerprints.len(),
        1,
        "exports are signed with one key: {fingerprints:?}"
    );
    if real.is_none() {
        let count = |what: &str| asked.iter().filter(|asked| asked.ends_with(what)).count();
        assert!((1..=2).contains(&count("/wrapkey")), "{asked:?}");
        assert_eq!(count("/unwrapkey"), 2, "{asked:?}");
        assert_eq!(vaulted.vault.asked(), [""; 0], "no request asks the vault");
    }
    let logs = vaulted.logs(&["one", "other"]);
    assert!(!logs.contains(TOKEN) && !logs.contains("shop.db"), "{logs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_wraps_what_is_new_and_a_withdrawn_version_closes_its_own_sessions_alone() {
    let mut vaulted = Vaulted::new().await;
    let mut first = vaulted.gateway("first").await;
    let agent = first.caller(&vaulted.place.agent);
    let before = agent.query(&change(5101)).await.body;
    let withdrawn = agent.query(&change(5102)).await.body;
    first.kill();

    vaulted.vault.command("rotate", json!("sealing"));
    let mut second = vaulted.gateway("second").await;
    let (agent, dana) = (
        second.caller(&vaulted.place.agent),
        second.caller(&vaulted.place.dana),
    );
    let after = agent.query(&change(5103)).await.body;
    assert_eq!(dana.approve(&before["approval"]).await.status, 200);
    assert_eq!(ended(&agent, &before).await.body["status"], "succeeded");
    second.kill();

    vaulted.vault.command("disable", json!(["sealing", 1]));
    let third = vaulted.gateway("third").await;
    let (agent, dana) = (
        third.caller(&vaulted.place.agent),
        third.caller(&vaulted.place.dana),
    );
    let closed = dana.approve(&withdrawn["approval"]).await;
    assert!(closed.status.is_server_error(), "{}", closed.body);
    assert_eq!(vaulted.place.note(5102), "before");
    assert_eq!(dana.approve(&after["approval"]).await.status, 200);
    assert_eq!(ended(&agent, &after).await.body["status"], "succeeded");
    assert_eq!(vaulted.place.note(5103), "before+");
    let log = vaulted.logs(&["third"]);
    assert!(log.contains("sessions of these keys stay closed"), "{log}");
    // The record itself needs no key.
    vaulted
        .place
        .verified(&dana, word(&withdrawn["session_id"]))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_or_a_secret_there_is_no_start_and_it_is_said_what_to_do() {
    let mut vaulted = Vaulted::new().await;
    // Busy is not refused.
    vaulted
        .vault
        .command("fault", json!({"status": 429, "times": 1}));
    vaulted
        .vault
        .command("fault", json!({"status": 503, "times": 1}));
    vaulted.gateway("patient").await.kill();

    vaulted.vault.command("forbid", json!(true));
    let told = vaulted.refused().err();
    assert!(told.contains("403 Forbidden/ForbiddenByRbac"), "{told}");
    assert!(
        told.contains("Key Vault Crypto Service Encryption User"),
        "{told}"
    );
    vaulted.vault.command("forbid", json!(false));

    let policy = fs::read_to_string(vaulted.place.policy()).unwrap();
    fs::write(
        vaulted.place.policy(),
        policy.replace("SHOP_DATABASE", "NO_SUCH"),
    )
    .unwrap();
    let told = vaulted.refused().err();
    assert!(told.contains("`connections.crm.read.url`"), "{told}");
    assert!(told.contains("has the secret NO-SUCH"), "{told}");
    fs::write(vaulted.place.policy(), policy).unwrap();

    // A token that the vault does not take is not for ever, but nobody waits for ever either.
    vaulted.place.identity.lock().unwrap().token = "eyJ0eXAi.another".into();
    vaulted.place.emulator.wants_nothing().await;
    let told = vaulted.refused().err();
    assert!(told.contains("401 Unauthorized"), "{told}");

    vaulted.vault.command("disable", json!(["sealing", 1]));
    vaulted.place.identity.lock().unwrap().token = TOKEN.into();
    let told = vaulted.refused().err();
    assert!(
        told.contains("is disabled: enable it, or make a newer one"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_credentials_finds_them_where_a_gateway_would_and_tells_nobody() {
    let mut vaulted = Vaulted::new().await;
    let policy = vaulted.place.policy();
    let arguments = ["policy", "check", policy.to_str().unwrap(), "--connect"];
    let checked = vaulted.run(&arguments);
    let told = format!("{}{}", checked.out(), checked.err());
    assert_eq!(checked.code(), 0, "{told}");
    assert!(told.contains("can read, and nothing else"), "{told}");
    let asked = vaulted.vault.asked();
    assert!(
        asked.iter().any(|asked| asked.contains("SHOP-DATABASE")),
        "{asked:?}"
    );

    // What is there leads nowhere.
    let nowhere = json!({"name": "SHOP-DATABASE", "value": "sqlite:/no/such/hunter2/shop.db"});
    vaulted.vault.command("secret", nowhere);
    let checked = vaulted.run(&arguments);
    let told = format!("{}{}", checked.out(), checked.err());
    assert_eq!(checked.code(), 1, "{told}");
    assert!(told.contains("crm"), "{told}");
    assert!(!told.contains("hunter2") && !told.contains(TOKEN), "{told}");

    vaulted.vault.command("forbid", json!(true));
    let told = vaulted.run(&arguments).err();
    assert!(told.contains("403 Forbidden"), "{told}");
}
