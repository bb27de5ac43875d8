//! Asking for layers: `PATCH /api/sessions/{id}`.

use dataplane::transport::negotiate::PeerRole::{Publisher, Subscriber};
use reqwest::Response;
use serde_json::{Value, json};

use crate::live::{Live, run_until};
use crate::server::{Server, header, problem};

fn path_of(session: &str) -> String {
    format!("/api/sessions/{}", session.rsplit('/').next().unwrap())
}

async fn ask(server: &Server, session: &str, body: &Value) -> Response {
    let request = server.request("PATCH", &path_of(session)).header("content-type", "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

async fn body_of(response: Response) -> Value {
    assert_eq!(response.status(), 200);
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_viewer_asks_for_layers_and_is_told_what_it_gets_and_why() {
    let server = Server::new().await;
    let mut publisher = Live::join(&server, Publisher, "a").await;
    let mut viewer = Live::join(&server, Subscriber, "a").await;
    run_until(&mut [&mut publisher, &mut viewer], |lives| lives[1].has_received_from(0)).await;
    let asked = json!({"max_spatial_layer": 0, "max_height": 360});
    let session = body_of(ask(&server, &viewer.session, &asked).await).await;
    let video = session["subscriptions"].as_array().unwrap().iter().find(|it| it["kind"] == "video").unwrap();
    assert_eq!(
        (&video["requested"]["max_spatial_layer"], &video["requested"]["max_height"]),
        (&json!(0), &json!(360))
    );
    assert_eq!((&video["reason"], &video["target"]["spatial_layer"]), (&json!("request"), &json!(0)));
    assert!(video["current"].is_object(), "{video}");

    let paused =
        body_of(ask(&server, &viewer.session, &json!({"mid": video["mid"], "paused": true})).await).await;
    let video = paused["subscriptions"].as_array().unwrap().iter().find(|it| it["kind"] == "video").unwrap();
    assert_eq!((&video["reason"], &video["target"]), (&json!("paused"), &Value::Null));
    let best = body_of(ask(&server, &viewer.session, &json!({})).await).await;
    assert_eq!(
        best["subscriptions"].as_array().unwrap().len(),
        paused["subscriptions"].as_array().unwrap().len()
    );
    server.stop().await;
}

/// The names of the WHEP layer extension are understood as well.
#[tokio::test]
async fn the_names_of_the_whep_extension_mean_the_same() {
    let server = Server::new().await;
    let viewer = server.watch("a").await;
    let asked = json!({"mediaId": "1", "maxSpatialLayerId": 1, "maxTemporalLayerId": 2, "maxWidth": 640, "maxHeight": 360});
    let session = body_of(ask(&server, &viewer, &asked).await).await;
    let requested = &session["subscriptions"][1]["requested"];
    let expected = json!({"paused": false, "rid": null, "max_spatial_layer": 1, "max_temporal_layer": 2,
                          "max_width": 640, "max_height": 360});
    assert_eq!(requested, &expected);
    assert_eq!(session["subscriptions"][1]["reason"], "no_media");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_with_its_reason() {
    let server = Server::new().await;
    let (publisher, viewer) = (server.publish("a").await, server.watch("a").await);
    let body =
        problem(ask(&server, &viewer, &json!({"spatial": 1})).await, 400, "malformed_layer_request").await;
    assert!(body["detail"].as_str().unwrap().contains("spatial"), "{body}");
    let long = json!({"rid": "a-name-that-is-far-too-long"});
    problem(ask(&server, &viewer, &long).await, 400, "malformed_layer_request").await;
    let body = problem(ask(&server, &viewer, &json!({"mid": "7"})).await, 422, "unknown_media_section").await;
    assert!(body["detail"].as_str().unwrap().contains("\"7\""), "{body}");
    let body = problem(ask(&server, &viewer, &json!({"rid": "h"})).await, 422, "unknown_encoding").await;
    assert!(body["detail"].as_str().unwrap().contains("\"h\""), "{body}");
    problem(ask(&server, &publisher, &json!({})).await, 422, "not_a_subscriber").await;
    problem(ask(&server, &"0".repeat(32), &json!({})).await, 404, "session_not_found").await;
    let text = server.request("PATCH", &path_of(&viewer)).header("content-type", "text/plain");
    problem(text.body("{}").send().await.unwrap(), 415, "unsupported_media_type").await;
    let large = json!({"rid": "a".repeat(10_000)});
    problem(ask(&server, &viewer, &large).await, 413, "too_large").await;
    server.stop().await;
}

// M1
#[tokio::test]
async fn whoever_asks_too_often_is_told_when_to_try_again() {
    let server = Server::new().await;
    let viewer = server.watch("a").await;
    let mut last = None;
    for height in 1..40 {
        let response = ask(&server, &viewer, &json!({"max_height": height})).await;
        let is_refused = response.status() == 429;
        last = Some(response);
        if is_refused {
            break;
        }
    }
    let last = last.unwrap();
    assert_eq!(header(&last, "retry-after"), "10");
    problem(last, 429, "too_many_layer_requests").await;
    server.stop().await;
}

#[tokio::test]
async fn browsers_may_ask_from_other_origins() {
    let server = Server::new().await;
    let viewer = server.watch("a").await;
    let preflight = server.send("OPTIONS", &path_of(&viewer)).await;
    assert!(header(&preflight, "access-control-allow-methods").contains("PATCH"));
    server.stop().await;
}
