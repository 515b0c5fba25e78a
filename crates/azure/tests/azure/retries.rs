//! What goes out again, and what does not.

use std::time::Duration;

use azure::{Error, ErrorKind, Started};
use serde::de::IgnoredAny;

use crate::script::{SECRET, TOKEN, Told, answer, lost, refusal};

fn get(told: &Told) -> Result<Option<IgnoredAny>, Error> {
    told.client.get("/subscriptions/s/resourceGroups/g", "2021-04-01")
}

fn put(told: &Told) -> Result<Started<IgnoredAny>, Error> {
    told.client.put("/subscriptions/s/resourceGroups/g", "2021-04-01", &())
}

fn ok() -> Result<azure::WireResponse, azure::WireError> {
    Ok(answer(200, &[], "{}"))
}

#[test]
fn what_may_pass_is_asked_again_under_the_same_id() {
    for status in [408, 429, 500, 502, 503, 504] {
        let told = Told::new([refusal(status, "Busy"), refusal(status, "Busy"), ok()]);
        assert!(get(&told).is_ok(), "{status}");
        let ids = told.fields("x-ms-client-request-id");
        assert_eq!((ids.len(), ids[0] == ids[2], ids[0].len()), (3, true, 36), "{status}");
    }
    for sent in [true, false] {
        assert!(put(&Told::new([lost(sent), ok()])).is_ok());
    }
    let told = Told::new((0..4).map(|_| refusal(503, "Busy")));
    let error = put(&told).expect_err("four times is enough");
    assert_eq!((told.count(), error.status(), error.code()), (4, Some(503), Some("Busy")));
}

#[test]
fn what_will_not_pass_is_asked_once() {
    for status in [400, 403, 405, 409, 412, 501] {
        let told = Told::new([refusal(status, "Never")]);
        assert_eq!(put(&told).expect_err("refused").status(), Some(status));
        assert_eq!(told.count(), 1, "{status}");
    }
    let told = Told::new([refusal(404, "ResourceNotFound")]);
    assert!(get(&told).expect("an answer").is_none());
}

#[test]
fn what_starts_something_goes_out_again_only_when_it_cannot_have_arrived() {
    let run = |told: &Told| told.client.post_once("/template/run", "2025-10-01", "the-id-of-this-run");
    let told = Told::new([lost(false), Ok(answer(202, &[], ""))]);
    assert!(run(&told).is_ok());
    assert_eq!(told.fields("x-ms-client-request-id"), ["the-id-of-this-run"; 2]);
    for (first, status) in [
        (lost(true), None),
        (refusal(500, "x"), Some(500)),
        (refusal(503, "x"), Some(503)),
        (refusal(429, "x"), Some(429)),
    ] {
        let told = Told::new([first]);
        let error = run(&told).expect_err("not again");
        assert_eq!((told.count(), error.status()), (1, status));
        assert!(error.is_transient());
    }
    // Other actions may come later when the service says that it has not begun.
    let cancel = |told: &Told| told.client.post::<(), IgnoredAny>("/template/cancel", "2025-10-01", None);
    assert!(cancel(&Told::new([refusal(429, "x"), Ok(answer(202, &[], ""))])).is_ok());
    assert!(cancel(&Told::new([lost(true)])).is_err());
    assert!(cancel(&Told::new([refusal(500, "x")])).is_err());
}

#[test]
fn hints_are_waited_for_and_without_one_the_pauses_grow() {
    for (name, value, milliseconds) in [
        ("retry-after", "7", 7000),
        ("retry-after-ms", "120", 120),
        ("x-ms-retry-after-ms", "130", 130),
        ("retry-after", "999999", 300_000),
    ] {
        let told = Told::new([Ok(answer(429, &[(name, value)], "{}")), ok()]);
        get(&told).expect("an answer");
        assert_eq!(
            *told.pauses.lock().expect("pauses"),
            [Duration::from_millis(milliseconds)],
            "{name}: {value}"
        );
    }
    let told = Told::new([refusal(500, "x"), refusal(500, "x"), refusal(500, "x"), ok()]);
    get(&told).expect("an answer");
    let pauses = told.pauses.lock().expect("pauses").clone();
    for (pause, whole) in pauses.iter().zip([800, 1600, 3200].map(Duration::from_millis)) {
        assert!(*pause >= whole / 2 && *pause <= whole, "{pauses:?}");
    }
}

#[test]
fn a_token_that_is_refused_is_asked_for_anew_once() {
    let told = Told::new([refusal(401, "ExpiredAuthenticationToken"), ok()]);
    get(&told).expect("an answer");
    let tokens = told.fields("authorization");
    assert!(tokens[0].ends_with("-1") && tokens[1].ends_with("-2"), "{tokens:?}");
    let told = Told::new([refusal(401, "InvalidToken"), refusal(401, "InvalidToken")]);
    let error = get(&told).expect_err("refused");
    assert_eq!((error.status(), told.count()), (Some(401), 2));
}

#[test]
fn a_body_that_was_cut_off_is_asked_for_again_and_never_half_read() {
    let cut = || Ok(answer(200, &[], r#"{"id": "/subscri"#));
    assert!(get(&Told::new([cut(), ok()])).is_ok());
    let error = get(&Told::new([cut(), cut(), cut(), cut()])).expect_err("cut");
    assert!(matches!(error.kind, ErrorKind::Malformed { .. }) && error.is_transient(), "{error}");
    let told = Told::new([cut()]);
    assert!(told.client.post::<(), IgnoredAny>("/a/run", "1", None).is_err());
}

#[test]
fn errors_name_the_request_and_its_ids_and_no_secret() {
    let message = format!("Bearer {TOKEN}-1 and https://a.blob.example/c/b?sv=1&sig=c2lnbmF0dXJl%3D&se=2");
    let body = format!(
        r#"{{"error":{{"code":"AuthorizationFailed","message":"{message}","details":[{{"code":"Inner","message":"why","details":null}}]}}}}"#
    );
    let ids = [("x-ms-request-id", "request-1"), ("x-ms-correlation-request-id", "correlation-1")];
    let told = Told::new([Ok(answer(403, &ids, &body))]);
    let error = get(&told).expect_err("refused");
    let text = format!("{error} {error:#?}");
    for part in [
        "GET /subscriptions/s/resourceGroups/g",
        "request-1",
        "correlation-1",
        "AuthorizationFailed",
        "Inner: why",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert!(error.is_authorization());
    for secret in [SECRET, TOKEN, "c2lnbmF0dXJl"] {
        assert!(!text.contains(secret), "{text}");
    }
    let asked = told.script.asked.lock().expect("asked");
    assert!(!format!("{asked:?}").contains(TOKEN), "requests are shown without their fields");
}
