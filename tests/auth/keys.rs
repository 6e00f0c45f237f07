//! An issuer's keys: rotated, withdrawn, out of reach, and asked for too often.

use portcullis::auth::{AGEING, MAX_STALENESS, MIN_REFETCH, TIME_TO_LIVE};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_after_a_rotation_cost_the_issuer_one_fetch() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let authenticator = Arc::new(authenticator);
    let old = provider.program("batch-job").token().await;
    assert_eq!(code(&authenticator, &old).await, "let in");
    assert_eq!(
        (provider.fetches().discovery, provider.fetches().keys),
        (1, 1)
    );

    provider.rotate();
    clock.advance(MIN_REFETCH);
    let new = provider.program("batch-job").token().await;
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (authenticator, new) = (Arc::clone(&authenticator), new.clone());
            tokio::spawn(async move { code(&authenticator, &new).await })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "let in");
    }
    assert_eq!(
        (provider.fetches().discovery, provider.fetches().keys),
        (2, 2)
    );
    assert_eq!(
        code(&authenticator, &old).await,
        "let in",
        "still published"
    );
}

#[tokio::test]
async fn forged_key_ids_make_the_gateway_ask_once_per_interval_and_no_more() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let real = provider.program("batch-job").token().await;
    assert_eq!(code(&authenticator, &real).await, "let in");
    let (header, payload, signature) = parts(&real);
    let flood = async |expected| {
        for n in 0..50 {
            let mut header = header.clone();
            header["kid"] = json!(format!("forged-{n}"));
            let token = forged(&header, &payload, &signature);
            assert_eq!(code(&authenticator, &token).await, expected);
        }
    };
    flood("token_key_unknown").await;
    assert_eq!(provider.fetches().keys, 1, "the first fetch is too recent");
    clock.advance(MIN_REFETCH);
    flood("token_key_unknown").await;
    assert_eq!(provider.fetches().keys, 2);
    // A failed fetch counts as one.
    provider.behave("error");
    clock.advance(MIN_REFETCH);
    let before = provider.fetches().discovery;
    flood("issuer_unavailable").await;
    assert_eq!(provider.fetches().discovery, before + 1);
    assert_eq!(code(&authenticator, &real).await, "let in");
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_reset_the_interval() {
    let provider = Provider::start();
    let (authenticator, _) = trusting(&provider);
    let real = provider.program("batch-job").token().await;
    provider.behave("silence");
    for _ in 0..20 {
        let verifying = verify(&authenticator, &real);
        let hung_up = tokio::time::timeout(Duration::from_millis(20), verifying).await;
        assert!(hung_up.is_err());
    }
    assert_eq!(provider.fetches().discovery, 1);
}

#[tokio::test]
async fn known_keys_are_believed_for_a_day_while_the_issuer_is_down() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let lasting = || provider.program("batch-job").seconds(200_000).token();
    let token = lasting().await;
    assert_eq!(code(&authenticator, &token).await, "let in");
    provider.rotate();
    let unknown_key = lasting().await;
    provider.down();

    clock.advance(TIME_TO_LIVE);
    assert_eq!(code(&authenticator, &token).await, "let in", "an hour");
    clock.advance(MAX_STALENESS / 2);
    assert_eq!(code(&authenticator, &token).await, "let in", "half a day");
    let refused = verify(&authenticator, &unknown_key).await.unwrap_err();
    assert_eq!(
        (refused.status(), refused.code()),
        (503, "issuer_unavailable")
    );
    assert_eq!(refused.retry_after(), Some(MIN_REFETCH));
    assert_eq!(refused.challenge(), None);
    clock.advance(MAX_STALENESS / 2);
    assert_eq!(
        code(&authenticator, &token).await,
        "issuer_unavailable",
        "a day"
    );

    provider.up();
    clock.advance(MIN_REFETCH);
    assert_eq!(code(&authenticator, &token).await, "let in", "back again");
    assert_eq!(code(&authenticator, &unknown_key).await, "let in");
}

#[tokio::test]
async fn nobody_with_a_known_key_waits_for_an_issuer_that_is_known_to_be_down() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let token = provider.program("batch-job").seconds(20_000).token().await;
    assert_eq!(code(&authenticator, &token).await, "let in");
    provider.down();
    clock.advance(TIME_TO_LIVE);
    assert_eq!(code(&authenticator, &token).await, "let in");
    provider.up();
    provider.behave("silence");
    clock.advance(Duration::from_secs(600));
    let asked = Instant::now();
    assert_eq!(code(&authenticator, &token).await, "let in");
    assert!(asked.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_a_503_and_asked_again_after_the_interval() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let token = provider.program("batch-job").token().await;
    provider.down();
    assert_eq!(code(&authenticator, &token).await, "issuer_unavailable");
    provider.up();
    assert_eq!(
        code(&authenticator, &token).await,
        "issuer_unavailable",
        "too soon"
    );
    assert_eq!(provider.fetches().discovery, 0);
    clock.advance(MIN_REFETCH);
    assert_eq!(code(&authenticator, &token).await, "let in");
}

#[tokio::test]
async fn ageing_keys_are_renewed_beside_the_request_that_uses_them() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let token = provider.program("batch-job").seconds(20_000).token().await;
    assert_eq!(code(&authenticator, &token).await, "let in");
    clock.advance(AGEING - Duration::from_secs(60));
    assert_eq!(code(&authenticator, &token).await, "let in");
    assert_eq!(provider.fetches().keys, 1);
    provider.behave("silence");
    clock.advance(Duration::from_secs(600));
    let asked = Instant::now();
    assert_eq!(code(&authenticator, &token).await, "let in");
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "waited for a silent issuer"
    );
    while provider.fetches().discovery < 2 {
        assert!(asked.elapsed() < Duration::from_secs(5), "not asked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_withdrawn_key_opens_nothing_after_an_hour_and_no_remembered_token_outlives_it() {
    let provider = Provider::start();
    let (authenticator, clock) = trusting(&provider);
    let old = provider.program("batch-job").seconds(20_000).token().await;
    assert_eq!(code(&authenticator, &old).await, "let in");
    provider.rotate();
    provider.withdraw_old_keys();
    let new = provider.program("batch-job").seconds(20_000).token().await;
    assert_eq!(
        code(&authenticator, &old).await,
        "let in",
        "nobody knows yet"
    );
    // The new key makes the gateway look; from then on the old one is gone, remembered or not.
    clock.advance(MIN_REFETCH);
    assert_eq!(code(&authenticator, &new).await, "let in");
    assert_eq!(code(&authenticator, &old).await, "token_key_unknown");

    // Without a new token to make it look, the hour does.
    let (authenticator, clock) = trusting(&provider);
    assert_eq!(code(&authenticator, &new).await, "let in");
    provider.behave("no-keys");
    clock.advance(TIME_TO_LIVE);
    assert_eq!(code(&authenticator, &new).await, "token_key_unknown");
}

#[tokio::test]
async fn an_issuer_that_answers_strangely_is_not_believed() {
    let provider = Provider::start();
    let token = provider.program("batch-job").token().await;
    for behaviour in [
        "redirect",
        "other-issuer",
        "remote-keys",
        "endless-keys",
        "error",
    ] {
        provider.behave(behaviour);
        let (authenticator, _) = trusting(&provider);
        let refused = verify(&authenticator, &token).await.unwrap_err();
        assert_eq!(refused.code(), "issuer_unavailable", "{behaviour}");
        let why = std::error::Error::source(&refused).unwrap().to_string();
        let expected = match behaviour {
            "redirect" => "302",
            "other-issuer" => "calls itself",
            "remote-keys" => "must be https",
            "endless-keys" => "more than",
            _ => "500",
        };
        assert!(why.contains(expected), "{behaviour}: {why}");
    }
    assert_eq!(provider.fetches().elsewhere, 0, "a redirect was followed");
}

#[tokio::test]
async fn a_silent_issuer_is_waited_for_no_longer_than_five_seconds() {
    let provider = Provider::start();
    let (authenticator, _) = trusting(&provider);
    let token = provider.program("batch-job").token().await;
    provider.behave("silence");
    let asked = Instant::now();
    assert_eq!(code(&authenticator, &token).await, "issuer_unavailable");
    assert!(asked.elapsed() < Duration::from_secs(8));
}
