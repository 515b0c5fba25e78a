//! What is sent, and what answers come to: paging, operations, addresses that are followed.

use std::time::Duration;

use azure::{Follow, Operation, Outcome, Poll};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::script::{Told, answer, refusal};

#[derive(Debug, Deserialize, PartialEq)]
struct Named {
    name: String,
}

#[test]
fn a_list_is_read_page_after_page_of_the_own_service_alone() {
    let first = r#"{"value":[{"name":"a"}],"nextLink":"https://arm.example/list?page=2"}"#;
    let told = Told::new([
        Ok(answer(200, &[], first)),
        Ok(answer(200, &[], r#"{"value":[{"name":"b"}],"nextLink":""}"#)),
    ]);
    let all: Vec<Named> = told.client.list("/list", "1").expect("a list");
    assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);

    for foreign in [
        "https://elsewhere.example/list",
        "http://arm.example/list",
        "https://arm.example:444/list",
        "file:///etc",
    ] {
        let page = format!(r#"{{"value":[],"nextLink":"{foreign}"}}"#);
        let told = Told::new([Ok(answer(200, &[], &page))]);
        let error = told.client.list::<Named>("/list", "1").expect_err("foreign");
        assert!(error.to_string().contains("which is not https://arm.example"), "{error}");
        assert_eq!(told.count(), 1, "no token goes there");
    }
}

#[test]
fn an_answer_says_what_goes_on_and_where_to_ask() {
    let operation = |status, headers: &[(&str, &str)]| {
        let told = Told::new([Ok(answer(status, headers, ""))]);
        told.client.put::<_, IgnoredAny>("/thing", "1", &()).expect("an answer").operation
    };
    let (a, b) = ("https://arm.example/operations/1?t=x", "https://arm.example/results/1");
    let both = [("azure-asyncoperation", a), ("location", b), ("retry-after", "3")];
    let by_status = Operation { url: a.to_owned(), follow: Follow::AsyncOperation, after_ms: 3000 };
    assert_eq!(operation(201, &both), Some(by_status));
    let by_location = Operation { url: b.to_owned(), follow: Follow::Location, after_ms: 30_000 };
    assert_eq!(operation(202, &both[1..2]), Some(by_location));
    assert_eq!(operation(200, &both[1..2]), None, "an address of something that is done");
    assert_eq!(operation(200, &[]), None);
    assert_eq!(operation(201, &[both[0], ("retry-after", "0")]).map(|own| own.after_ms), Some(30_000));
}

#[test]
fn a_poll_tells_how_an_operation_stands_and_a_failed_poll_tells_nothing() {
    let poll = |follow, status, headers: &[(&str, &str)], body: &str| {
        let told = Told::new((0..4).map(|_| Ok(answer(status, headers, body))));
        told.client.poll(&Operation {
            url: "https://arm.example/operations/1".to_owned(),
            follow,
            after_ms: 0,
        })
    };
    let by_status =
        |body: &str| poll(Follow::AsyncOperation, 200, &[("retry-after", "4")], body).expect("an answer");
    assert_eq!(by_status(r#"{"status":"SUCCEEDED"}"#), Poll::Succeeded);
    assert_eq!(by_status(r#"{"status":"canceled"}"#), Poll::Canceled);
    for goes_on in [r#"{"status":"InProgress"}"#, r#"{"status":"Soon"}"#, "{}"] {
        assert_eq!(
            by_status(goes_on),
            Poll::Running { after: Duration::from_secs(4) },
            "unknown is no success"
        );
    }
    let failed = by_status(r#"{"status":"Failed","error":{"code":"PackerBuildFailed","message":"why"}}"#);
    assert!(
        matches!(&failed, Poll::Failed(error) if error.to_string() == "PackerBuildFailed: why"),
        "{failed:?}"
    );

    let by_location = |status, body: &str| poll(Follow::Location, status, &[], body);
    assert_eq!(by_location(202, "").expect("an answer"), Poll::Running { after: Duration::from_secs(30) });
    assert_eq!(by_location(204, "").expect("an answer"), Poll::Succeeded);
    let failed = by_location(409, r#"{"error":{"code":"Conflict","message":"m"}}"#).expect("an answer");
    assert!(matches!(failed, Poll::Failed(error) if error.code == "Conflict"));
    for status in [404, 500, 503] {
        assert!(
            by_location(status, "{}").is_err() && poll(Follow::AsyncOperation, status, &[], "{}").is_err()
        );
    }
    let foreign =
        Operation { url: "https://elsewhere.example/1".to_owned(), follow: Follow::Location, after_ms: 0 };
    let told = Told::new([]);
    assert!(told.client.poll(&foreign).is_err());
    assert_eq!(told.count(), 0);
}

#[test]
fn an_operation_that_ends_with_an_answer_is_asked_for_it() {
    let operation =
        Operation { url: "https://arm.example/results/1".to_owned(), follow: Follow::Location, after_ms: 0 };
    let told = Told::new([
        Ok(answer(202, &[("retry-after", "3")], "")),
        Ok(answer(200, &[], r#"{"name":"a"}"#)),
        Ok(answer(409, &[], r#"{"error":{"code":"Conflict","message":"m"}}"#)),
    ]);
    let running = told.client.outcome::<Named>(&operation).expect("an answer");
    assert_eq!(running, Outcome::Running { after: Duration::from_secs(3) });
    let ended = told.client.outcome::<Named>(&operation).expect("an answer");
    assert_eq!(ended, Outcome::Ended(Some(Named { name: "a".to_owned() })));
    assert!(told.client.outcome::<Named>(&operation).is_err());
}

#[test]
fn what_is_not_there_is_gone_and_errors_of_all_shapes_are_read() {
    for status in [204, 404] {
        let told = Told::new([Ok(answer(status, &[], ""))]);
        assert_eq!(told.client.delete("/thing", "1").expect("gone"), None);
    }
    for (body, text) in [
        (r#"{"error":{"code":"A","message":"b"}}"#, "A: b"),
        (r#"{"code":"A","message":"b"}"#, "A: b"),
        (r#"{"error":{"code":"A","message":"b","details":[{"code":"C","message":"d"}]}}"#, "A: b: C: d"),
        ("<html>Bad Gateway</html>", "HTTP 400: <html>Bad Gateway</html>"),
    ] {
        let mut refused = answer(400, &[], body);
        refused.headers.clear();
        let told = Told::new([Ok(refused)]);
        let error = told.client.delete("/thing", "1").expect_err("refused");
        assert!(error.to_string().contains(text), "{text}: {error}");
    }
    let told = Told::new([refusal(409, "Conflict")]);
    assert!(told.client.delete("/thing", "1").expect_err("refused").is_conflict());
}

#[test]
fn requests_have_the_form_of_the_published_interface() {
    let told = Told::new([Ok(answer(202, &[], "")), Ok(answer(200, &[], "{}"))]);
    told.client.post_once("/subscriptions/s/x/run", "2025-10-01", "id").expect("an answer");
    told.client.put::<_, IgnoredAny>("/subscriptions/s/list?$filter=a%20b", "1", &[1]).expect("an answer");
    let asked = told.script.asked.lock().expect("asked");
    assert_eq!((asked[0].method.as_str(), asked[0].body.len()), ("POST", 0));
    assert_eq!(asked[0].url, "https://arm.example/subscriptions/s/x/run?api-version=2025-10-01");
    assert_eq!(asked[1].url, "https://arm.example/subscriptions/s/list?$filter=a%20b&api-version=1");
    drop(asked);
    assert!(told.fields("authorization").iter().all(|field| field.starts_with("Bearer ")));
    assert_eq!(told.fields("content-type"), ["", "application/json"]);
}
